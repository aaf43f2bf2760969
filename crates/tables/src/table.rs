//! Named columns of one length, each of one kind.

use std::collections::HashSet;

use crate::error::{Error, Result};

/// One column; `None` is a missing value.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Words.
    Text(Vec<Option<String>>),
    /// Whole numbers.
    Integer(Vec<Option<i64>>),
    /// Numbers.
    Number(Vec<Option<f64>>),
    /// True or false.
    Flag(Vec<Option<bool>>),
    /// A list of `width` numbers in every row, row after row: embeddings.
    Vector {
        /// Numbers in a row.
        width: usize,
        /// `(n_rows, width)`, row-major.
        values: Vec<f32>,
    },
    /// Something a Parquet file holds that is none of these: it is there, and cannot be asked.
    Opaque {
        /// What the file calls it.
        kind: String,
        /// Its length.
        n_rows: usize,
    },
}

/// One value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Missing,
    /// Words.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A list of numbers.
    Vector(&'a [f32]),
    /// Something that cannot be asked.
    Opaque,
}

impl Column {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Text(rows) => rows.len(),
            Self::Integer(rows) => rows.len(),
            Self::Number(rows) => rows.len(),
            Self::Flag(rows) => rows.len(),
            Self::Vector { width, values } => values.len() / (*width).max(1),
            Self::Opaque { n_rows, .. } => *n_rows,
        }
    }

    /// The value of a row, counted from 0.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Text(rows) => rows[row].as_deref().map_or(Cell::Missing, Cell::Text),
            Self::Integer(rows) => rows[row].map_or(Cell::Missing, Cell::Integer),
            Self::Number(rows) => rows[row].map_or(Cell::Missing, Cell::Number),
            Self::Flag(rows) => rows[row].map_or(Cell::Missing, Cell::Flag),
            Self::Vector { width, values } => Cell::Vector(&values[row * width..(row + 1) * width]),
            Self::Opaque { .. } => Cell::Opaque,
        }
    }
}

/// Columns by name, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<(String, Column)>,
    /// A second line describes the columns.
    is_described: bool,
}

impl Table {
    /// Joins columns of one length under names that are there once.
    ///
    /// ```
    /// use tables::{Cell, Column, Table};
    ///
    /// let subjects = Column::Text(vec![Some("01".into()), Some("02".into())]);
    /// let embeddings = Column::Vector { width: 3, values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
    /// let table = Table::new([("subject", subjects), ("embedding", embeddings)])?;
    /// assert_eq!(table.n_rows(), 2);
    /// assert_eq!(table.column("embedding").unwrap().cell(1), Cell::Vector(&[4.0, 5.0, 6.0]));
    /// # Ok::<(), tables::Error>(())
    /// ```
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, Column)>) -> Result<Self> {
        let columns: Vec<(String, Column)> =
            columns.into_iter().map(|(name, column)| (name.into(), column)).collect();
        for (position, (name, column)) in columns.iter().enumerate() {
            let (first, expected) = (&columns[0].0, columns[0].1.n_rows());
            let found = column.n_rows();
            if name.is_empty() {
                return Err(Error::NoName { position: position + 1 });
            }
            if let Column::Vector { width, values } = column
                && (*width == 0 || !values.len().is_multiple_of(*width))
            {
                let (name, found, width) = (name.clone(), values.len(), *width);
                return Err(Error::Width { name, found, width });
            }
            if found != expected {
                let (name, first) = (name.clone(), first.clone());
                return Err(Error::Rows { name, found, first, expected });
            }
        }
        if let Some(name) = first_twice(columns.iter().map(|(name, _)| name.as_str())) {
            return Err(Error::SameName { name: name.to_owned() });
        }
        Ok(Self { columns, is_described: false })
    }

    /// The same, of a file whose second line describes the columns.
    pub(crate) fn below_descriptions(self) -> Self {
        Self { is_described: true, ..self }
    }

    /// Whether the second line of the file describes the columns, as in tables of the NIMH Data Archive; it
    /// is no row.
    pub fn is_described(&self) -> bool {
        self.is_described
    }

    /// Where the first row stands in the file, counted as a spreadsheet does.
    pub fn first_line(&self) -> usize {
        if self.is_described { 3 } else { 2 }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.n_rows())
    }

    /// Names of the columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column)
    }

    /// Names with their columns, in order.
    pub fn columns(&self) -> &[(String, Column)] {
        &self.columns
    }
}

/// The first name that stands twice.
pub fn first_twice<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut taken = HashSet::new();
    names.into_iter().find(|name| !taken.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_one_length_and_names_of_their_own() {
        let say = |columns: Vec<(&str, Column)>| Table::new(columns).unwrap_err().to_string();
        let two = || Column::Integer(vec![Some(1), None]);
        let one = Column::Flag(vec![Some(true)]);
        assert_eq!(say(vec![("a", two()), ("a", two())]), "column a appears twice");
        assert_eq!(
            say(vec![("a", two()), ("b", one)]),
            "column b has 1 rows, expected 2 as in column a"
        );
        assert_eq!(say(vec![("", two())]), "column 1 has no name");
        let ragged = Column::Vector { width: 2, values: vec![1.0; 3] };
        assert_eq!(
            say(vec![("v", ragged)]),
            "column v holds 3 numbers, expected a multiple of its width 2"
        );
        assert!(Table::new([("v", Column::Vector { width: 0, values: vec![] })]).is_err());
        assert_eq!(Table::new(Vec::<(&str, Column)>::new()).unwrap().n_rows(), 0);
    }
}
