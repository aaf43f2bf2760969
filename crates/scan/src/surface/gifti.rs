//! GIFTI files: arrays of numbers for the vertices of a surface, in XML.
//!
//! Source: GIFTI Surface Data Format, version 1.0, 4 January 2011.

use std::{collections::BTreeMap, path::Path};

use nifti::NiftiType;
use roxmltree::Node;

use super::stored::{Array, Encoding};
use crate::{
    error::{Error, Result, brief},
    nii::Source,
    xml::{self, Parsed, attribute, child, children, number},
};

/// An hour of both hemispheres of the finest mesh, not compressed, takes less.
const MAX_BYTES: usize = 2 << 30;

/// What a file says before its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gifti {
    /// Bytes of its XML, unpacked.
    pub(super) n_bytes: u64,
    /// What the numbers of labels mean.
    pub(super) table: BTreeMap<i32, String>,
    pub(super) arrays: Vec<Array>,
    /// `AnatomicalStructurePrimary` of the file or its first array.
    pub(super) structure: Option<String>,
    /// `TimeStep` of the file or its first array.
    pub(super) time_step: Option<String>,
    /// Names of metadata that hold something.
    pub(super) metadata: Vec<String>,
}

/// Reads what a file says, and shows the text of the numbers of each array, one by one.
pub(super) fn read(
    path: &Path,
    mut visit: impl FnMut(usize, &Array, &str) -> Parsed<()>,
) -> Result<Gifti> {
    let refuse = |problem: String| Error::Gifti { path: path.to_path_buf(), problem };
    let mut source = Source::open(path)?;
    let bytes = source.up_to(MAX_BYTES)?;
    let bytes = bytes.ok_or_else(|| refuse(format!("its XML has more than {MAX_BYTES} bytes")))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| refuse(error.to_string()))?;
    let body = without_doctype(text.trim_start_matches('\u{feff}')).map_err(refuse)?;
    let mut file =
        xml::read(body, MAX_BYTES, "GIFTI", |root| parsed(root, &mut visit)).map_err(refuse)?;
    file.n_bytes = text.len() as u64;
    Ok(file)
}

/// The text from its root on where its document type names a file, as the standard wants it; one that
/// defines anything is left for the reader to refuse.
fn without_doctype(text: &str) -> Parsed<&str> {
    const START: &str = "<!DOCTYPE";
    let head = &text[..text.find("<GIFTI").unwrap_or(0)];
    let Some((_, rest)) = head.split_once(START) else { return Ok(text) };
    let (doctype, _) = rest.split_once('>').unwrap_or((rest, ""));
    if doctype.contains('[') {
        return Err("its document type defines entities, which are not read".to_owned());
    }
    Ok(&text[head.len()..])
}

fn parsed(root: Node, visit: &mut dyn FnMut(usize, &Array, &str) -> Parsed<()>) -> Parsed<Gifti> {
    let table = children(root, "LabelTable").next().map(xml::label_table).transpose()?;
    let mut metadata = metadata_of(root);
    let mut arrays = Vec::new();
    for (index, node) in children(root, "DataArray").enumerate() {
        let own = metadata_of(node);
        let array = array(node, &own).map_err(|problem| in_array(index, problem))?;
        let text = child(node, "Data").map(|data| data.text().unwrap_or_default());
        let seen = text.and_then(|text| visit(index, &array, text));
        seen.map_err(|problem| in_array(index, problem))?;
        if index == 0 {
            // those of the file go first
            let more = own.into_iter().filter(|(name, _)| metadata.iter().all(|it| it.0 != *name));
            metadata.extend(more.collect::<Vec<_>>());
        }
        arrays.push(array);
    }
    let promised: usize = number(root, "NumberOfDataArrays")?;
    if promised != arrays.len() {
        let found = arrays.len();
        return Err(format!("it holds {found} arrays, its NumberOfDataArrays is {promised}"));
    }
    let value = |name: &str| metadata.iter().find(|it| it.0 == name).map(|it| it.1.clone());
    Ok(Gifti {
        n_bytes: 0,
        table: table.unwrap_or_default(),
        arrays,
        structure: value("AnatomicalStructurePrimary"),
        time_step: value("TimeStep"),
        metadata: metadata.into_iter().map(|(name, _)| name).collect(),
    })
}

fn in_array(index: usize, problem: String) -> String {
    format!("its array {}: {problem}", index + 1)
}

/// Names and values that are not empty.
fn metadata_of(node: Node) -> Vec<(String, String)> {
    let entries = children(node, "MetaData").flat_map(|data| children(data, "MD"));
    let text = |entry: Node, name| {
        let node = children(entry, name).next()?;
        Some(node.text().unwrap_or_default().trim().to_owned())
    };
    let entries = entries.filter_map(|entry| Some((text(entry, "Name")?, text(entry, "Value")?)));
    entries.filter(|(_, value)| !value.is_empty()).collect()
}

/// What the sizes of an array are called.
const AXES: [&str; 6] = ["Dim0", "Dim1", "Dim2", "Dim3", "Dim4", "Dim5"];

fn array(node: Node, metadata: &[(String, String)]) -> Parsed<Array> {
    let n_axes: usize = number(node, "Dimensionality")?;
    if !(1..=6).contains(&n_axes) {
        return Err(format!("Dimensionality is {n_axes}, expected 1 to 6"));
    }
    let dims: Vec<usize> =
        AXES[..n_axes].iter().map(|name| number(node, name)).collect::<Parsed<_>>()?;
    let dtype = dtype(attribute(node, "DataType")?)?;
    let of = |name: &str, words: &[&str]| {
        let found = attribute(node, name)?;
        let at = words.iter().position(|word| *word == found);
        at.ok_or_else(|| format!("{name} is {:?}, expected {}", brief(found), words.join(" or ")))
    };
    let encoding = match attribute(node, "Encoding")? {
        "ASCII" => Encoding::Ascii,
        "Base64Binary" => Encoding::Base64,
        "GZipBase64Binary" => Encoding::ZlibBase64,
        "ExternalFileBinary" => {
            return Err("its numbers lie in another file (ExternalFileBinary), which is not \
                        followed; expected them in the file itself"
                .to_owned());
        }
        other => {
            return Err(format!("Encoding is {:?}, which is not in the standard", brief(other)));
        }
    };
    let array = Array {
        intent: attribute(node, "Intent")?.to_owned(),
        dtype,
        dims,
        is_column_major: of("ArrayIndexingOrder", &["RowMajorOrder", "ColumnMajorOrder"])? == 1,
        encoding,
        is_big: of("Endian", &["LittleEndian", "BigEndian"])? == 1,
        name: metadata.iter().find(|it| it.0 == "Name").map(|it| it.1.clone()),
    };
    array.check()?;
    Ok(array)
}

fn dtype(name: &str) -> Parsed<NiftiType> {
    use NiftiType as T;
    Ok(match name {
        "NIFTI_TYPE_UINT8" => T::Uint8,
        "NIFTI_TYPE_INT8" => T::Int8,
        "NIFTI_TYPE_UINT16" => T::Uint16,
        "NIFTI_TYPE_INT16" => T::Int16,
        "NIFTI_TYPE_UINT32" => T::Uint32,
        "NIFTI_TYPE_INT32" => T::Int32,
        "NIFTI_TYPE_UINT64" => T::Uint64,
        "NIFTI_TYPE_INT64" => T::Int64,
        "NIFTI_TYPE_FLOAT32" => T::Float32,
        "NIFTI_TYPE_FLOAT64" => T::Float64,
        other => {
            let found = brief(other);
            return Err(format!("DataType is {found:?}, expected real numbers of 8 to 64 bits"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_type_that_only_names_a_file_is_passed_over() {
        let with = |doctype: &str| format!("<?xml version=\"1.0\"?>\n{doctype}\n<GIFTI/>");
        let named = with("<!DOCTYPE GIFTI SYSTEM \"http://www.nitrc.org/gifti.dtd\">");
        assert_eq!(without_doctype(&named), Ok("<GIFTI/>"));
        let plain = with("");
        assert_eq!(without_doctype(&plain), Ok(plain.as_str()));
        let bomb = with("<!DOCTYPE GIFTI [<!ENTITY a \"b\">]>");
        assert!(without_doctype(&bomb).unwrap_err().contains("defines entities"));
        // in a comment, where it is none: the reader sees the text as it is
        let other = "<!-- <GIFTI> --><!DOCTYPE GIFTI [<!ENTITY a \"b\">]><GIFTI/>";
        assert_eq!(without_doctype(other), Ok(other));
    }
}
