//! The query language, as strict as the real one (qbo-facts 2.3).

mod evaluate;
mod lexer;
mod parser;

pub(super) use self::evaluate::run;
pub(super) use self::parser::parse;
