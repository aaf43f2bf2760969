//! XML that files carry: the axes of CIFTI, and GIFTI as a whole. A text that the reader could not be
//! trusted with is refused before it is read.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::brief;

/// What is wrong, in words; the caller knows the file.
pub(crate) type Parsed<T> = Result<T, String>;

/// Elements and attributes of the largest files number a few hundred thousand.
const MAX_NODES: u32 = 4_000_000;

/// The standards nest six elements; private ones may lie deeper.
pub(crate) const MAX_DEPTH: usize = 64;

/// What `parse` makes of the root of a text, which must have this name. A document type, and with it
/// every entity, is refused.
pub(crate) fn read<T>(
    text: &str,
    max_bytes: usize,
    root: &'static str,
    parse: impl FnOnce(Node) -> Parsed<T>,
) -> Parsed<T> {
    if text.len() > max_bytes {
        return Err(format!("its XML has {} bytes, the limit is {max_bytes}", text.len()));
    }
    let depth = formats::xml_depth(text);
    if depth > MAX_DEPTH {
        return Err(format!("its XML is nested {depth} deep, the limit is {MAX_DEPTH}"));
    }
    let panicked = |_: formats::Panicked| "its XML is damaged".to_owned();
    formats::guarded(|| {
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..Default::default() };
        let document = Document::parse_with_options(text, options)
            .map_err(|error| brief(&error.to_string()))?;
        let found = document.root_element();
        let name = found.tag_name().name();
        if name != root {
            return Err(format!("its root is <{}>, expected <{root}>", brief(name)));
        }
        parse(found)
    })
    .map_err(panicked)?
}

pub(crate) fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

pub(crate) fn child<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> Parsed<Node<'a, 'input>> {
    let parent = node.tag_name().name();
    children(node, name).next().ok_or_else(|| format!("<{parent}> has no <{name}>"))
}

pub(crate) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Parsed<&'a str> {
    let tag = node.tag_name().name();
    node.attribute(name).ok_or_else(|| format!("<{tag}> has no {name}"))
}

pub(crate) fn number<T: std::str::FromStr>(node: Node, name: &str) -> Parsed<T> {
    let text = attribute(node, name)?.trim();
    text.parse().map_err(|_| format!("{name} is {:?}, expected a number", brief(text)))
}

/// What the numbers of labels mean, as CIFTI and GIFTI write it.
pub(crate) fn label_table(table: Node) -> Parsed<BTreeMap<i32, String>> {
    let label = |label: Node| {
        let name = label.text().unwrap_or_default().trim().to_owned();
        // GIFTI before version 1.0 called it otherwise
        let key = if label.has_attribute("Index") { "Index" } else { "Key" };
        Ok((number(label, key)?, name))
    };
    children(table, "Label").map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_nested_beyond_the_limit_is_refused_before_it_is_read() {
        let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        let read = |text: &str, limit| read(text, limit, "CIFTI", |_| Ok(())).unwrap_err();
        let said = read(&nested(MAX_DEPTH + 1), 1000);
        assert_eq!(said, "its XML is nested 65 deep, the limit is 64");
        assert_eq!(read(&nested(MAX_DEPTH), 1000), "its root is <a>, expected <CIFTI>");
        assert_eq!(read("<CIFTI/>", 7), "its XML has 8 bytes, the limit is 7");
    }
}
