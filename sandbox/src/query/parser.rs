//! The parser: it reads a statement from its tokens.

use super::lexer::{Token, TokenKind, tokenize};
use crate::answer::ServiceFault;

/// A parsed `SELECT` statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub is_count: bool,
    pub entity: String,
    pub conditions: Vec<Condition>,
    pub order: Vec<OrderKey>,
    pub start_position: Option<i64>,
    pub max_results: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub property: String,
    pub operator: Operator,
    /// One value, or several values of `IN`.
    pub values: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    In,
    Like,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(String),
    Boolean(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OrderKey {
    pub property: String,
    pub is_descending: bool,
}

/// Parses a statement.
///
/// # Errors
/// 4000, with the line, the column and the expected tokens.
pub(crate) fn parse(statement: &str) -> Result<Statement, ServiceFault> {
    if statement.trim().is_empty() {
        return Err(ServiceFault::parse(
            "QueryParserError: The query provided was empty".to_owned(),
        ));
    }
    let mut parser = Parser {
        tokens: tokenize(statement)?,
        next: 0,
    };
    let parsed = parser.statement()?;
    match parser.peek().kind {
        TokenKind::End => Ok(parsed),
        _ => Err(parser.unexpected(&[
            "<EOF>",
            "<AND>",
            "\"maxresults\"",
            "\"order\"",
            "\"orderby\"",
            "\"startposition\"",
        ])),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The last token is the end, and `advance` never moves past it.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn statement(&mut self) -> Result<Statement, ServiceFault> {
        self.expect_word("select")?;
        let is_count = self.projection()?;
        self.expect_word("from")?;
        let entity = self.name()?;
        let conditions = if self.accept_word("where") {
            self.conditions()?
        } else {
            Vec::new()
        };
        let order = self.order()?;
        let (start_position, max_results) = self.paging()?;
        Ok(Statement {
            is_count,
            entity,
            conditions,
            order,
            start_position,
            max_results,
        })
    }

    /// Parses `*`, `*, Sku` or `COUNT(*)`. Returns whether rows are counted.
    fn projection(&mut self) -> Result<bool, ServiceFault> {
        if self.accept_word("count") {
            for symbol in ["(", "*", ")"] {
                self.expect_symbol(symbol)?;
            }
            return Ok(true);
        }
        self.expect_symbol("*")?;
        while self.accept_symbol(",") {
            self.name()?;
        }
        Ok(false)
    }

    fn conditions(&mut self) -> Result<Vec<Condition>, ServiceFault> {
        let mut conditions = vec![self.condition()?];
        while self.accept_word("and") {
            conditions.push(self.condition()?);
        }
        Ok(conditions)
    }

    fn condition(&mut self) -> Result<Condition, ServiceFault> {
        let property = self.name()?;
        let operator = self.operator()?;
        let values = if operator == Operator::In {
            self.list()?
        } else {
            vec![self.value()?]
        };
        Ok(Condition {
            property,
            operator,
            values,
        })
    }

    fn operator(&mut self) -> Result<Operator, ServiceFault> {
        let operator = match &self.peek().kind {
            TokenKind::Symbol("=") => Operator::Equal,
            TokenKind::Symbol("<") => Operator::Less,
            TokenKind::Symbol(">") => Operator::Greater,
            TokenKind::Symbol("<=") => Operator::LessOrEqual,
            TokenKind::Symbol(">=") => Operator::GreaterOrEqual,
            TokenKind::Word(word) if word.eq_ignore_ascii_case("in") => Operator::In,
            TokenKind::Word(word) if word.eq_ignore_ascii_case("like") => Operator::Like,
            _ => {
                return Err(self.unexpected(&[
                    "\"=\"", "\"<\"", "\">\"", "\"<=\"", "\">=\"", "\"in\"", "\"like\"",
                ]));
            }
        };
        self.advance();
        Ok(operator)
    }

    fn list(&mut self) -> Result<Vec<Value>, ServiceFault> {
        self.expect_symbol("(")?;
        let mut values = vec![self.value()?];
        while self.accept_symbol(",") {
            values.push(self.value()?);
        }
        self.expect_symbol(")")?;
        Ok(values)
    }

    fn value(&mut self) -> Result<Value, ServiceFault> {
        let value = match &self.peek().kind {
            TokenKind::Text(text) => Value::Text(text.clone()),
            TokenKind::Number(number) => Value::Number(number.clone()),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("true") => Value::Boolean(true),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("false") => Value::Boolean(false),
            _ => return Err(self.unexpected(&["<STRING>", "<NUMBER>", "\"true\"", "\"false\""])),
        };
        self.advance();
        Ok(value)
    }

    fn order(&mut self) -> Result<Vec<OrderKey>, ServiceFault> {
        if self.accept_word("order") {
            self.expect_word("by")?;
        } else if !self.accept_word("orderby") {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        loop {
            let property = self.name()?;
            let is_descending = self.accept_word("desc");
            if !is_descending {
                self.accept_word("asc");
            }
            keys.push(OrderKey {
                property,
                is_descending,
            });
            if !self.accept_symbol(",") {
                return Ok(keys);
            }
        }
    }

    /// Parses `STARTPOSITION` and `MAXRESULTS`, in either order.
    fn paging(&mut self) -> Result<(Option<i64>, Option<i64>), ServiceFault> {
        let (mut start_position, mut max_results) = (None, None);
        loop {
            if start_position.is_none() && self.accept_word("startposition") {
                start_position = Some(self.integer()?);
            } else if max_results.is_none() && self.accept_word("maxresults") {
                max_results = Some(self.integer()?);
            } else {
                return Ok((start_position, max_results));
            }
        }
    }

    fn integer(&mut self) -> Result<i64, ServiceFault> {
        let parsed = match &self.peek().kind {
            TokenKind::Number(number) => number.parse().ok(),
            _ => None,
        };
        let Some(number) = parsed else {
            return Err(self.unexpected(&["<INTEGER>"]));
        };
        self.advance();
        Ok(number)
    }

    fn name(&mut self) -> Result<String, ServiceFault> {
        match &self.peek().kind {
            TokenKind::Word(word) => {
                let word = word.clone();
                self.advance();
                Ok(word)
            }
            _ => Err(self.unexpected(&["<IDENTIFIER>"])),
        }
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found =
            matches!(&self.peek().kind, TokenKind::Word(found) if found.eq_ignore_ascii_case(word));
        if found {
            self.advance();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), ServiceFault> {
        if self.accept_word(word) {
            Ok(())
        } else {
            Err(self.unexpected(&[&format!("\"{word}\"")]))
        }
    }

    fn accept_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), ServiceFault> {
        if self.accept_symbol(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(&[&format!("\"{symbol}\"")]))
        }
    }

    fn unexpected(&self, expected: &[&str]) -> ServiceFault {
        let Token { kind, line, column } = self.peek();
        let encountered = match kind {
            TokenKind::Word(word) => format!("\" <IDENTIFIER> \"{word} \"\""),
            TokenKind::Number(number) => format!("\" <NUMBER> \"{number} \"\""),
            TokenKind::Text(text) => format!("\" <STRING> \"'{text}' \"\""),
            TokenKind::Symbol(symbol) => format!("\" \"{symbol}\" \"{symbol} \"\""),
            TokenKind::End => "\"<EOF>\"".to_owned(),
        };
        let wanted = match expected {
            [one] => format!("Was expecting:\n    {one} ...\n    "),
            many => format!(
                "Was expecting one of:\n    {} ...\n    ",
                many.join(" ...\n    ")
            ),
        };
        ServiceFault::parse(format!(
            "QueryParserError: Encountered {encountered} at line {line}, column {column}.\n{wanted}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn statements_of_real_clients_are_read() {
        for statement in [
            "SELECT * FROM Customer",
            "select * from Customer where Active in (true, false) order by Id desc startposition 1 maxresults 100",
            "SELECT COUNT(*) FROM Invoice WHERE TotalAmt > '300.00' AND TxnDate <= '2024-01-01'",
            "SELECT *, Sku FROM Item MAXRESULTS 10 STARTPOSITION 5",
            r"SELECT * FROM Customer WHERE DisplayName = 'Amy\'s Bird Sanctuary'",
            "SELECT * FROM Customer WHERE DisplayName LIKE '%a%' ORDERBY MetaData.LastUpdatedTime ASC, Id DESC",
        ] {
            parse(statement).unwrap_or_else(|fault| panic!("{statement}: {}", fault.detail));
        }
    }

    #[test]
    fn errors_name_line_and_column() {
        let detail = |statement| parse(statement).unwrap_err().detail;
        assert!(
            detail("SELECT * FROM Customer WHERE Id = '1' OR Id = '2'")
                .contains("\"OR \"\" at line 1, column 39.")
        );
        assert!(detail("SELECT *\nFROM").contains("at line 2, column 5."));
        assert!(
            detail("SELECT * FROM Customer WHERE a = '100%25")
                .contains("Lexical error at line 1, column 41.")
        );
        assert!(detail("SELECT * FROM Customer%20WHERE").contains("Encountered: \"%\" (37)"));
        assert_eq!(
            detail("  "),
            "QueryParserError: The query provided was empty"
        );
        assert!(detail("SELECT Id FROM Customer").contains("Was expecting:\n    \"*\""));
        assert!(
            detail("SELECT * FROM Customer MAXRESULTS 99999999999999999999").contains("<INTEGER>")
        );
    }

    proptest! {
        #![proptest_config(crate::testing::cases(5000))]

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn no_changed_statement_makes_it_panic(
            statement in prop::sample::select(vec![
                "SELECT * FROM Customer WHERE Metadata.LastUpdatedTime >= '2024-01-01T00:00:00-08:00' AND Active IN (true, false) ORDERBY Metadata.LastUpdatedTime STARTPOSITION 1 MAXRESULTS 1000",
                "SELECT COUNT(*) FROM Invoice WHERE Id IN ('1', '2') AND DocNumber LIKE '%x\\'y%'",
            ]),
            changes in prop::collection::vec((any::<usize>(), 0_usize..9, "[ -~é\0']{0,3}"), 0..5),
        ) {
            let mut letters: Vec<char> = statement.chars().collect();
            for (place, length, put) in changes {
                let start = place % (letters.len() + 1);
                let end = (start + length).min(letters.len());
                letters.splice(start..end, put.chars());
            }
            let _ = parse(&letters.into_iter().collect::<String>());
        }

        #[test]
        fn no_shuffled_statement_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec![
            "SELECT", "*", "COUNT", "(", ")", "FROM", "Customer", "WHERE", "Id", "=", "IN", "'1'", "'", "\\", ",", "AND",
            "true", "ORDERBY", "ORDER", "BY", "DESC", "STARTPOSITION", "MAXRESULTS", "1", "-", "<=", "%", "é", "\n",
        ]), 0..25)) {
            let _ = parse(&words.join(" "));
        }
    }
}
