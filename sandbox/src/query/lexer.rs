//! The lexer: it splits a statement into tokens, each with its position.

use crate::answer::ServiceFault;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Word(String),
    Number(String),
    Text(String),
    Symbol(&'static str),
    End,
}

/// A token with the position of its first character, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub line: usize,
    pub column: usize,
}

const SYMBOLS: [&str; 10] = ["<=", ">=", "!=", "<", ">", "=", "(", ")", ",", "*"];

/// Returns all tokens of a statement, the end included.
///
/// # Errors
/// A parse fault that names the character and its position.
pub(super) fn tokenize(statement: &str) -> Result<Vec<Token>, ServiceFault> {
    let mut lexer = Lexer {
        rest: statement,
        line: 1,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let (line, column) = (lexer.line, lexer.column);
        let kind = lexer.next_kind()?;
        let is_end = kind == TokenKind::End;
        tokens.push(Token { kind, line, column });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Lexer<'a> {
    /// Takes text from the front of the rest, and moves the position.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        for c in taken.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        taken
    }

    fn take_while(&mut self, test: fn(char) -> bool) -> &'a str {
        let length = self.rest.find(|c| !test(c)).unwrap_or(self.rest.len());
        self.take(length)
    }

    fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn next_kind(&mut self) -> Result<TokenKind, ServiceFault> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(TokenKind::End);
        };
        if let Some(symbol) = SYMBOLS
            .iter()
            .find(|symbol| self.rest.starts_with(**symbol))
        {
            self.take(symbol.len());
            return Ok(TokenKind::Symbol(symbol));
        }
        match first {
            '\'' => self.text(),
            '-' | '0'..='9' => Ok(TokenKind::Number(
                self.take_while(|c| matches!(c, '-' | '.' | '0'..='9'))
                    .to_owned(),
            )),
            c if c.is_alphabetic() || c == '_' => Ok(TokenKind::Word(
                self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
                    .to_owned(),
            )),
            other => Err(self.lexical_error(&format!("\"{other}\" ({})", u32::from(other)))),
        }
    }

    /// Reads a text in single quotes. A backslash escapes the next character.
    fn text(&mut self) -> Result<TokenKind, ServiceFault> {
        let mut text = String::new();
        let mut escaped = false;
        for (offset, c) in self.rest.char_indices().skip(1) {
            match c {
                _ if escaped => {
                    text.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '\'' => {
                    self.take(offset + 1);
                    return Ok(TokenKind::Text(text));
                }
                _ => text.push(c),
            }
        }
        self.take(self.rest.len());
        Err(self.lexical_error("<EOF>"))
    }

    fn lexical_error(&self, encountered: &str) -> ServiceFault {
        ServiceFault::parse(format!(
            "QueryParserError: Invalid content. Lexical error at line {}, column {}.  Encountered: {encountered}, after : \"\"",
            self.line, self.column
        ))
    }
}
