//! Parquet, through polars.

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use polars::prelude as pl;
use polars::prelude::{NamedFrom as _, SerReader as _};

use crate::{
    error::{Error, Result},
    table::{Column, Table},
};

/// The most cells a file may claim to hold.
const MAX_CELLS: usize = 1 << 30;

pub(crate) fn read(path: &Path, bytes: Vec<u8>) -> Result<Table> {
    let refuse = |problem: String| Error::Parquet { path: path.to_path_buf(), problem };
    // Damaged pages make polars panic now and then; for us they are a damaged file.
    let frame = catch_unwind(AssertUnwindSafe(|| frame(bytes)))
        .unwrap_or_else(|_| Err("its pages are damaged".to_owned()))
        .map_err(refuse)?;
    let named = frame.columns().iter().enumerate().map(|(position, column)| {
        let name = match column.name().as_str() {
            "" => format!("column {}", position + 1),
            name => name.to_owned(),
        };
        Ok((name, ours(column.as_materialized_series()).map_err(polars_words)?))
    });
    let columns = named.collect::<Result<Vec<_>, String>>().map_err(refuse)?;
    Table::new(columns).map_err(|error| refuse(error.to_string()))
}

fn frame(bytes: Vec<u8>) -> Result<pl::DataFrame, String> {
    let mut reader = pl::ParquetReader::new(Cursor::new(bytes));
    let n_columns = reader.schema().map_err(polars_words)?.len();
    let n_rows = reader.num_rows().map_err(polars_words)?;
    if n_rows.saturating_mul(n_columns) > MAX_CELLS {
        return Err(format!("it claims {n_rows} rows of {n_columns} columns, more than is read"));
    }
    reader.finish().map_err(polars_words)
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
        kind @ D::List(inner) if inner.is_float() => {
            vector(series)?.unwrap_or_else(|| opaque(format!("{kind} of differing lengths")))
        }
        kind => opaque(kind.to_string()),
    })
}

/// Lists of one length without holes; otherwise nothing.
fn vector(series: &pl::Series) -> pl::PolarsResult<Option<Column>> {
    let lists = series.list()?;
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
