//! What a file holds, without following a link.

use hdf5::{Group, IndexType, IterationOrder, LinkType, LocationType};
use serde::Serialize;

use super::{attributes::Attribute, dataset::Dataset, file::Hdf5File};
use crate::error::Result;

/// Objects that are listed, at most: a file may hold a group for each of many thousand subjects.
const MAX_NODES: usize = 10_000;

/// A group, dataset or link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hdf5Node {
    /// From the root.
    #[serde(skip)]
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: NodeKind,
    /// Its attributes, without their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeName>,
}

/// An attribute, without its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct AttributeName {
    /// Its name.
    pub name: String,
    /// Whether it holds text, which may be private.
    pub is_text: bool,
}

impl From<AttributeName> for String {
    fn from(attribute: AttributeName) -> Self {
        attribute.name
    }
}

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NodeKind {
    /// A group.
    Group,
    /// A dataset.
    Dataset {
        /// Size along each axis; in MATLAB's order where MATLAB wrote it.
        shape: Vec<usize>,
        /// How an element is stored.
        dtype: String,
        /// `compact`, `contiguous`, `chunked` or `virtual`.
        layout: &'static str,
        /// Sizes of a chunk.
        #[serde(skip_serializing_if = "Option::is_none")]
        chunk: Option<Vec<usize>>,
        /// What packs the chunks, in the order of packing.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        filters: Vec<String>,
    },
    /// A second name of a group that is listed already.
    SecondName,
    /// A link to a path.
    SoftLink,
    /// A link to another file.
    ExternalLink,
    /// Neither; or it cannot be opened.
    Other,
}

/// All objects that hard links reach, each group once.
pub(super) fn nodes(file: &Hdf5File) -> Result<Vec<Hdf5Node>> {
    let mut nodes = Vec::new();
    let root = file.root()?;
    let mut seen = vec![token(&root)];
    let mut waiting = vec![(String::new(), root)];
    let names = attribute_names(file, "/", &waiting[0].1);
    nodes.push(Hdf5Node { path: "/".to_owned(), kind: NodeKind::Group, attributes: names });
    while let Some((path, group)) = waiting.pop() {
        let first = nodes.len();
        for (name, link) in links(file, &path, &group)? {
            if nodes.len() >= MAX_NODES {
                return Ok(nodes);
            }
            let path = format!("{path}/{name}");
            let mut attributes = Vec::new();
            let kind = match link {
                LinkType::Soft => NodeKind::SoftLink,
                LinkType::External => NodeKind::ExternalLink,
                LinkType::Hard => match group.loc_info_by_name(&name).map(|info| info.loc_type) {
                    Ok(LocationType::Group) => match group.group(&name) {
                        Ok(inner) if seen.contains(&token(&inner)) => NodeKind::SecondName,
                        Ok(inner) => {
                            attributes = attribute_names(file, &path, &inner);
                            seen.push(token(&inner));
                            waiting.push((path.clone(), inner));
                            NodeKind::Group
                        }
                        Err(_) => NodeKind::Other,
                    },
                    Ok(LocationType::Dataset) => {
                        match group.dataset(&name).map(|inner| Dataset::new(file, &path, inner)) {
                            Ok(Ok(dataset)) => {
                                attributes = attribute_names(file, &path, &dataset.inner);
                                described(&dataset)
                            }
                            _ => NodeKind::Other,
                        }
                    }
                    _ => NodeKind::Other,
                },
            };
            nodes.push(Hdf5Node { path, kind, attributes });
        }
        nodes[first..].sort_by(|a, b| a.path.cmp(&b.path));
        waiting.sort_by(|(a, _), (b, _)| b.cmp(a));
    }
    Ok(nodes)
}

/// Names and kinds of the links of a group, none of them followed.
pub(super) fn links(file: &Hdf5File, path: &str, group: &Group) -> Result<Vec<(String, LinkType)>> {
    let mut links = Vec::new();
    let visit = |name: &str, info: hdf5::LinkInfo| {
        links.push((name.to_owned(), info.link_type));
        Ok((links.len() >= MAX_NODES).then_some(()))
    };
    let visited = group.find_link(IndexType::Name, IterationOrder::Increasing, visit);
    visited.map_err(|error| file.failed(path, "cannot be listed", &error))?;
    Ok(links)
}

fn token(group: &Group) -> Option<hdf5::LocationToken> {
    group.loc_info().ok().map(|info| info.token)
}

fn attribute_names(file: &Hdf5File, path: &str, object: &hdf5::Location) -> Vec<AttributeName> {
    let found = file.attributes_of(path, object).unwrap_or_default();
    let name =
        |(name, value)| AttributeName { name, is_text: matches!(value, Attribute::Texts(_)) };
    found.into_iter().map(name).collect()
}

fn described(dataset: &Dataset) -> NodeKind {
    NodeKind::Dataset {
        shape: dataset.shape().to_vec(),
        dtype: dataset.type_words(),
        layout: dataset.layout_words(),
        chunk: dataset.chunk(),
        filters: dataset.filter_words(),
    }
}
