//! Parquet, through polars.

use std::{io::Cursor, path::Path};

use polars::prelude as pl;
use polars::prelude::{NamedFrom as _, SerReader as _};

use crate::{
    error::{Error, Result},
    table::{Column, Table},
};

/// The most cells a file may claim to hold.
const MAX_CELLS: usize = 1 << 30;

/// So many cells are believed of any file, however well it is packed.
const FEW_CELLS: usize = 1 << 24;

/// Beyond these, cells that a byte of the file may stand for.
const CELLS_OF_BYTE: usize = 64;

/// Reads the bytes of a Parquet file; `path` is what errors call it.
pub fn read_parquet(path: &Path, bytes: Vec<u8>) -> Result<Table> {
    let refuse = |problem: String| Error::Parquet { path: path.to_path_buf(), problem };
    // Damaged pages make polars panic now and then; for us they are a damaged file.
    let columns = formats::guarded(|| columns(bytes))
        .unwrap_or_else(|_| Err("its pages are damaged".to_owned()))
        .map_err(refuse)?;
    Table::new(columns).map_err(|error| refuse(error.to_string()))
}

fn columns(bytes: Vec<u8>) -> Result<Vec<(String, Column)>, String> {
    let n_bytes = bytes.len();
    let mut reader = pl::ParquetReader::new(Cursor::new(bytes));
    inside(n_bytes, &mut reader)?;
    let schema = reader.schema().map_err(polars_words)?;
    let (n_rows, n_columns) = (reader.num_rows().map_err(polars_words)?, schema.len());
    let believed = n_bytes.saturating_mul(CELLS_OF_BYTE).clamp(FEW_CELLS, MAX_CELLS);
    if n_rows.saturating_mul(n_columns) > believed {
        return Err(format!("it claims {n_rows} rows of {n_columns} columns, more than is read"));
    }
    let kinds: Vec<(String, &pl::ArrowDataType)> =
        schema.iter_values().map(|field| (field.name.to_string(), &field.dtype)).collect();
    let wanted = (0..n_columns).filter(|&position| is_read(kinds[position].1)).collect();
    let frame = reader.with_projection(Some(wanted)).finish().map_err(polars_words)?;
    let named = kinds.iter().enumerate().map(|(position, (name, kind))| {
        let column = if is_read(kind) {
            let column = frame.column(name).map_err(polars_words)?;
            ours(column.as_materialized_series()).map_err(polars_words)?
        } else {
            let kind = format!("{kind:?}");
            let kind = kind.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
            Column::Opaque { kind, n_rows }
        };
        let name = if name.is_empty() { format!("column {}", position + 1) } else { name.clone() };
        Ok((name, column))
    });
    named.collect()
}

/// Refuses columns that lie outside of the file, or that unpack to more than is read.
fn inside(n_bytes: usize, reader: &mut pl::ParquetReader<Cursor<Vec<u8>>>) -> Result<(), String> {
    let metadata = reader.get_metadata().map_err(polars_words)?;
    let mut unpacked = 0_u64;
    for group in &metadata.row_groups {
        for column in group.parquet_columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let start = start.min(column.data_page_offset());
            let end =
                start.checked_add(column.compressed_size()).and_then(|it| usize::try_from(it).ok());
            let lies_inside = start >= 0 && column.compressed_size() >= 0;
            if !lies_inside || end.is_none_or(|end| end > n_bytes) || column.num_values() < 0 {
                return Err("a column lies outside of the file".to_owned());
            }
            let size = u64::try_from(column.uncompressed_size());
            unpacked =
                unpacked.saturating_add(size.map_err(|_| "a column has no size".to_owned())?);
        }
    }
    if unpacked > MAX_UNPACKED {
        return Err(format!("it unpacks to {unpacked} bytes, the limit is {MAX_UNPACKED}"));
    }
    Ok(())
}

/// The most bytes that the columns of a file may unpack to.
const MAX_UNPACKED: u64 = 16 << 30;

/// Words, numbers, true or false, and lists of floats; the rest of a file is left where it is.
fn is_read(kind: &pl::ArrowDataType) -> bool {
    use pl::ArrowDataType as A;
    match kind {
        A::Null
        | A::Boolean
        | A::Float32
        | A::Float64
        | A::Int8
        | A::Int16
        | A::Int32
        | A::Int64
        | A::UInt8
        | A::UInt16
        | A::UInt32
        | A::UInt64
        | A::Utf8
        | A::LargeUtf8
        | A::Utf8View => true,
        A::Dictionary(_, values, _) => {
            matches!(**values, A::Utf8 | A::LargeUtf8 | A::Utf8View)
        }
        A::List(inner) | A::LargeList(inner) | A::FixedSizeList(inner, _) => {
            matches!(inner.dtype, A::Float32 | A::Float64)
        }
        _ => false,
    }
}

/// The first line of what polars says.
fn polars_words(error: pl::PolarsError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn ours(series: &pl::Series) -> pl::PolarsResult<Column> {
    use pl::DataType as D;
    let opaque = |kind: String| Column::Opaque { kind, n_rows: series.len() };
    Ok(match series.dtype() {
        D::String => {
            let texts = series.str()?.iter();
            Column::Text(texts.map(|text| text.map(str::to_owned)).collect())
        }
        D::Boolean => Column::Flag(series.bool()?.iter().collect()),
        D::Float32 | D::Float64 => {
            Column::Number(series.cast(&D::Float64)?.f64()?.iter().collect())
        }
        kind if kind.is_integer() => match series.strict_cast(&D::Int64) {
            Ok(whole) => Column::Integer(whole.i64()?.iter().collect()),
            Err(_) => opaque(format!("{kind} beyond 64 bits")),
        },
        D::Null => Column::Text(vec![None; series.len()]),
        D::List(inner) | D::Array(inner, _) if inner.is_float() => {
            vector(series)?.unwrap_or_else(|| opaque("lists of differing lengths".to_owned()))
        }
        // categories are words with numbers in their place
        _ => match series.strict_cast(&D::String) {
            Ok(words) => {
                Column::Text(words.str()?.iter().map(|text| text.map(str::to_owned)).collect())
            }
            Err(_) => opaque(series.dtype().to_string()),
        },
    })
}

/// Lists of one length without holes; otherwise nothing.
fn vector(series: &pl::Series) -> pl::PolarsResult<Option<Column>> {
    let lists = match series.dtype() {
        pl::DataType::Array(inner, _) => series.cast(&pl::DataType::List(inner.clone()))?,
        _ => series.clone(),
    };
    let lists = lists.list()?;
    let mut width = None;
    let mut values = Vec::new();
    for list in lists.amortized_iter() {
        let Some(list) = list else { return Ok(None) };
        let list = list.as_ref().cast(&pl::DataType::Float32)?;
        if *width.get_or_insert(list.len()) != list.len() || list.null_count() > 0 {
            return Ok(None);
        }
        values.extend(list.f32()?.iter().flatten());
    }
    Ok(width.filter(|width| *width > 0).map(|width| Column::Vector { width, values }))
}

impl Table {
    /// The table as a Parquet file, zstd compressed; a [`Column::Vector`] becomes a list of 32-bit
    /// floats. [`read`](crate::read) gives the same table back.
    pub fn to_parquet(&self) -> Result<Vec<u8>> {
        let refuse = |error: pl::PolarsError| Error::Unwritable { problem: polars_words(error) };
        let columns = self.columns().iter().map(|(name, column)| theirs(name, column));
        let columns = columns.collect::<Result<Vec<pl::Column>>>()?;
        let mut frame = pl::DataFrame::new(self.n_rows(), columns).map_err(refuse)?;
        let mut bytes = Vec::new();
        pl::ParquetWriter::new(&mut bytes).finish(&mut frame).map_err(refuse)?;
        Ok(bytes)
    }
}

fn theirs(name: &str, column: &Column) -> Result<pl::Column> {
    let to = pl::PlSmallStr::from_str(name);
    let series = match column {
        Column::Text(rows) => pl::Series::new(to, rows),
        Column::Integer(rows) => pl::Series::new(to, rows),
        Column::Number(rows) => pl::Series::new(to, rows),
        Column::Flag(rows) => pl::Series::new(to, rows),
        Column::Vector { width, values } => {
            let lists = values
                .chunks_exact(*width)
                .map(|list| Some(pl::Series::new(pl::PlSmallStr::EMPTY, list)));
            let lists: pl::ListChunked = lists.collect();
            pl::IntoSeries::into_series(lists.with_name(to))
        }
        Column::Opaque { kind, .. } => {
            return Err(Error::Opaque { name: name.to_owned(), kind: kind.clone() });
        }
    };
    Ok(series.into())
}

#[cfg(test)]
mod tests;
