//! GGUF, the file of llama.cpp: metadata, a table of tensors, then their bytes.
//!
//! Read from the format's description (ggml, `docs/gguf.md`), versions 2 and 3, the least
//! significant byte first.
//!
//! ```text
//! "GGUF" │ version: u32 │ n_tensors: u64 │ n_keys: u64 │ keys and values │ tensor infos │ bytes
//! ```

use std::sync::Arc;

use crate::{
    MAX_VALUES,
    container::{Container, Entry, Format},
    dtype::{Dtype, GgmlType},
    error::Result,
    source::{Cursor, Source},
    value::Value,
};

/// The first bytes of every GGUF file.
pub(crate) const MAGIC: &[u8] = b"GGUF";

const DEFAULT_ALIGNMENT: u64 = 32;

/// ggml's own limit on the dimensions of a tensor.
const MAX_DIMS: u32 = 4;

/// Arrays of arrays of arrays: more than any file has.
const MAX_DEPTH: usize = 4;

pub(crate) fn open(source: Arc<Source>) -> Result<Container> {
    let mut cursor = Cursor::new(&source, "the GGUF header", MAGIC.len() as u64, source.len);
    let version = cursor.u32()?;
    match version {
        2 | 3 => {}
        1 => {
            return Err(
                source.unsupported("GGUF version 1", "versions 2 and 3 are: convert it anew")
            );
        }
        _ if (1..=3).contains(&version.swap_bytes()) => {
            let cure = "convert it for a little-endian machine";
            return Err(source.unsupported("GGUF with the most significant byte first", cure));
        }
        _ => {
            return Err(
                source.unsupported(format!("GGUF version {version}"), "versions 2 and 3 are")
            );
        }
    }
    let (n_tensors, n_keys) = (cursor.u64()?, cursor.u64()?);
    let metadata = metadata(&mut cursor, n_keys)?;
    let alignment = match metadata.get("general.alignment") {
        None => DEFAULT_ALIGNMENT,
        Some(value) => value.as_int().filter(|n: &u64| n.is_power_of_two()).ok_or_else(|| {
            cursor.damaged(format!("general.alignment is {value:?}, expected a power of two"))
        })?,
    };

    let mut entries = Vec::new();
    for _ in 0..n_tensors {
        entries.push(info(&mut cursor)?);
    }
    let start = cursor.position().checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    for entry in &mut entries {
        place(&source, entry, start, alignment)?;
    }
    let mut by_place: Vec<&Entry> = entries.iter().filter(|entry| entry.n_bytes > 0).collect();
    by_place.sort_by_key(|entry| entry.offset);
    for pair in by_place.windows(2) {
        if pair[1].offset - pair[0].offset < pair[0].n_bytes {
            let (a, b) = (&pair[0].name, &pair[1].name);
            return Err(source.damaged(format!("tensors `{a}` and `{b}` overlap")));
        }
    }
    Container::new(source.clone(), Format::Gguf, entries, metadata)
}

fn metadata(cursor: &mut Cursor<'_>, n_keys: u64) -> Result<Value> {
    let mut budget = MAX_VALUES;
    let mut items: Vec<(String, Value)> = Vec::new();
    for _ in 0..n_keys {
        let key = text(cursor)?;
        let kind = cursor.u32()?;
        let value = value(cursor, kind, MAX_DEPTH, &mut budget)?;
        items.push((key, value));
    }
    let mut keys: Vec<&str> = items.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    if let Some(&[key, _]) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(cursor.damaged(format!("the key `{key}` appears twice")));
    }
    Ok(Value::Map(items))
}

fn text(cursor: &mut Cursor<'_>) -> Result<String> {
    let n = cursor.u64()?;
    cursor.text(n)
}

fn value(cursor: &mut Cursor<'_>, kind: u32, depth: usize, budget: &mut usize) -> Result<Value> {
    *budget = budget
        .checked_sub(1)
        .ok_or_else(|| cursor.damaged(format!("it holds more than {MAX_VALUES} values")))?;
    Ok(match kind {
        0 => Value::Int(cursor.u8()?.into()),
        1 => Value::Int(i8::from_le_bytes(cursor.array()?).into()),
        2 => Value::Int(cursor.u16()?.into()),
        3 => Value::Int(i16::from_le_bytes(cursor.array()?).into()),
        4 => Value::Int(cursor.u32()?.into()),
        5 => Value::Int(i32::from_le_bytes(cursor.array()?).into()),
        6 => Value::Float(f32::from_le_bytes(cursor.array()?).into()),
        7 => match cursor.u8()? {
            flag @ (0 | 1) => Value::Bool(flag == 1),
            flag => return Err(cursor.damaged(format!("a boolean is {flag}, expected 0 or 1"))),
        },
        8 => Value::Text(text(cursor)?),
        9 if depth > 0 => {
            let (kind, n) = (cursor.u32()?, cursor.u64()?);
            // every element takes a byte at least: refuse before the first is read
            cursor.check_left(n)?;
            let values = (0..n).map(|_| value(cursor, kind, depth - 1, budget));
            Value::List(values.collect::<Result<_>>()?)
        }
        9 => return Err(cursor.damaged(format!("its arrays nest deeper than {MAX_DEPTH}"))),
        10 => Value::Int(cursor.u64()?.into()),
        11 => Value::Int(i64::from_le_bytes(cursor.array()?).into()),
        12 => Value::Float(f64::from_le_bytes(cursor.array()?)),
        _ => return Err(cursor.damaged(format!("a value has type {kind}, expected 0 to 12"))),
    })
}

/// One row of the table; its offset counts from the first tensor until [`place`] moves it.
fn info(cursor: &mut Cursor<'_>) -> Result<Entry> {
    let name = text(cursor)?;
    let n_dims = cursor.u32()?;
    if n_dims > MAX_DIMS {
        return Err(cursor.damaged(format!(
            "tensor `{name}` has {n_dims} dimensions, expected {MAX_DIMS} at most"
        )));
    }
    let mut shape = Vec::new();
    for _ in 0..n_dims {
        shape.push(cursor.u64()? as usize);
    }
    // ggml has the fastest dimension first
    shape.reverse();
    let kind = cursor.u32()?;
    let dtype = dtype(kind).ok_or_else(|| {
        let known = NAMES.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name);
        let found = format!("tensor `{name}` of ggml type {}", known.unwrap_or("unknown"));
        let cure = "quantise it to one of Q4_0 to Q8_0 or Q2_K to Q6_K, or use F16";
        cursor.source.unsupported(format!("{found} (number {kind})"), cure)
    })?;
    let offset = cursor.u64()?;
    let n_bytes = dtype.n_bytes(&shape).ok_or_else(|| {
        cursor.damaged(format!("tensor `{name}` of {dtype} cannot have the shape {shape:?}"))
    })?;
    Ok(Entry { name, dtype, shape, strides: None, offset, n_bytes, big_endian: false })
}

/// Moves an offset to where the file counts from, if the tensor lies inside.
fn place(source: &Source, entry: &mut Entry, start: u64, alignment: u64) -> Result<()> {
    if !entry.offset.is_multiple_of(alignment) {
        return Err(source.damaged(format!(
            "tensor `{}` begins at {} of the values, expected a multiple of {alignment}",
            entry.name, entry.offset
        )));
    }
    let offset = start.checked_add(entry.offset);
    let end = offset.and_then(|offset| offset.checked_add(entry.n_bytes));
    match (offset, end) {
        (Some(offset), Some(end)) if end <= source.len || entry.n_bytes == 0 => {
            entry.offset = offset;
            Ok(())
        }
        _ => Err(source.damaged(format!(
            "tensor `{}` needs {} bytes from {} of the values at byte {start}, the file has {}; \
             was the download cut short?",
            entry.name, entry.n_bytes, entry.offset, source.len
        ))),
    }
}

fn dtype(kind: u32) -> Option<Dtype> {
    Some(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Quantised(GgmlType::Q4_0),
        3 => Dtype::Quantised(GgmlType::Q4_1),
        6 => Dtype::Quantised(GgmlType::Q5_0),
        7 => Dtype::Quantised(GgmlType::Q5_1),
        8 => Dtype::Quantised(GgmlType::Q8_0),
        10 => Dtype::Quantised(GgmlType::Q2_K),
        11 => Dtype::Quantised(GgmlType::Q3_K),
        12 => Dtype::Quantised(GgmlType::Q4_K),
        13 => Dtype::Quantised(GgmlType::Q5_K),
        14 => Dtype::Quantised(GgmlType::Q6_K),
        15 => Dtype::Quantised(GgmlType::Q8_K),
        24 => Dtype::I8,
        25 => Dtype::I16,
        26 => Dtype::I32,
        27 => Dtype::I64,
        28 => Dtype::F64,
        30 => Dtype::BF16,
        _ => return None,
    })
}

/// ggml's types that are refused by name.
const NAMES: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

#[cfg(test)]
mod tests;
