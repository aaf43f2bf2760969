//! From words to a query, by recursive descent.

use super::{Given, Name, Node, QueryError, Sign, Span, error, lex::Token};
use crate::value::Value;

/// How deep brackets and `not` may be nested.
const MAX_DEPTH: usize = 64;

/// The whole text is one query.
pub(super) fn query(text: &str, tokens: &[(Token, Span)]) -> Result<Node, QueryError> {
    let mut parser = Parser { text, tokens, next: 0, depth: 0 };
    let node = parser.any()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => parser.expected("`and`, `or` or the end"),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [(Token, Span)],
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Node, QueryError> {
        let mut parts = vec![self.all()?];
        while self.takes_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Any(parts) })
    }

    fn all(&mut self) -> Result<Node, QueryError> {
        let mut parts = vec![self.one()?];
        while self.takes_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::All(parts) })
    }

    fn one(&mut self) -> Result<Node, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.expected("a simpler query, nested less deeply");
        }
        let node = if self.takes_word("not") {
            Node::Not(Box::new(self.one()?))
        } else if self.takes_mark('(') {
            let node = self.any()?;
            if !self.takes_mark(')') {
                return self.expected("`)`");
            }
            node
        } else {
            self.about_column()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn about_column(&mut self) -> Result<Node, QueryError> {
        let column = self.column()?;
        if let Some((Token::Sign(sign), _)) = self.peek() {
            let sign = *sign;
            self.next += 1;
            return Ok(Node::Compare { column, sign, value: self.value()? });
        }
        if self.takes_word("is") {
            let negated = self.takes_word("not");
            if !self.takes_word("missing") {
                return self.expected("`missing`");
            }
            return Ok(negated_if(negated, Node::Missing { column }));
        }
        let negated = self.takes_word("not");
        if self.takes_word("in") {
            let values = self.list()?;
            return Ok(negated_if(negated, Node::Among { column, values }));
        }
        if negated {
            return self.expected("`in`");
        }
        let value = Given { value: Value::Flag(true), span: column.span };
        Ok(Node::Compare { column, sign: Sign::Equal, value })
    }

    fn column(&mut self) -> Result<Name, QueryError> {
        match self.peek() {
            Some((Token::Column(text), span)) => {
                self.next += 1;
                Ok(Name { text: text.clone(), span: *span })
            }
            Some((Token::Word(text), span)) if !is_reserved(text) => {
                self.next += 1;
                Ok(Name { text: text.clone(), span: *span })
            }
            _ => self.expected("the name of a column, `not` or `(`"),
        }
    }

    fn value(&mut self) -> Result<Given, QueryError> {
        let Some((token, span)) = self.peek() else { return self.expected("a value") };
        let value = match token {
            Token::Number(number) => Value::Number(*number),
            Token::Text(text) => Value::Text(text.clone()),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Value::Flag(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Value::Flag(false),
            Token::Word(word) if !is_reserved(word) => {
                let problem = format!("a text stands in quotation marks, as in \"{word}\"");
                return Err(error(self.text, *span, problem));
            }
            _ => return self.expected("a number, a text in quotation marks, true or false"),
        };
        self.next += 1;
        Ok(Given { value, span: *span })
    }

    fn list(&mut self) -> Result<Vec<Given>, QueryError> {
        if !self.takes_mark('[') {
            return self.expected("`[` and a list of values");
        }
        let mut values = vec![self.value()?];
        while self.takes_mark(',') {
            values.push(self.value()?);
        }
        if self.takes_mark(']') { Ok(values) } else { self.expected("`,` or `]`") }
    }

    fn peek(&self) -> Option<&'a (Token, Span)> {
        self.tokens.get(self.next)
    }

    fn takes(&mut self, fits: impl Fn(&Token) -> bool) -> bool {
        let takes = self.peek().is_some_and(|(token, _)| fits(token));
        self.next += usize::from(takes);
        takes
    }

    fn takes_word(&mut self, wanted: &str) -> bool {
        self.takes(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(wanted)))
    }

    fn takes_mark(&mut self, wanted: char) -> bool {
        self.takes(|token| *token == Token::Mark(wanted))
    }

    /// The next word is not what it should be.
    fn expected<T>(&self, wanted: &str) -> Result<T, QueryError> {
        let end = Span { at: self.text.trim_end().chars().count(), len: 1 };
        let (span, found) = self.peek().map_or((end, "the query ends"), |(_, span)| (*span, ""));
        let found = match found {
            "" => {
                let found = self.text.chars().skip(span.at).take(span.len);
                format!("`{}` stands", found.collect::<String>())
            }
            ends => ends.to_owned(),
        };
        Err(error(self.text, span, format!("{found} here, expected {wanted}")))
    }
}

fn negated_if(negated: bool, node: Node) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn is_reserved(word: &str) -> bool {
    ["and", "or", "not", "in", "is", "missing", "true", "false"]
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}
