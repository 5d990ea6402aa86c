//! The query language (qbo-facts 2.3): it turns the text of a statement into the rows of an answer.

mod evaluate;
mod filter;
mod lexer;
mod order;
mod parser;
mod property;

pub(crate) use self::evaluate::answer;
pub(crate) use self::parser::{Statement, parse};
pub(crate) use self::property::QueryContext;
