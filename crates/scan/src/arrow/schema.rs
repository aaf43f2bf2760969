//! The columns of an Arrow stream, and where each of them lies among the nodes and buffers of a batch.

use super::flat::Flat;

/// How deep lists may be nested.
const MAX_DEPTH: usize = 8;

/// The most columns.
const MAX_COLUMNS: usize = 4096;

/// What the values of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Int {
        bits: usize,
        signed: bool,
    },
    Float {
        bits: usize,
    },
    Bool,
    /// Text, with offsets of 32 or 64 bits.
    Text {
        wide: bool,
    },
    /// Lists of the one column below, with offsets of 32 or 64 bits.
    List {
        wide: bool,
    },
    FixedList {
        n: usize,
    },
    /// Columns side by side.
    Struct,
    /// What has this many buffers of its own and is not read.
    Opaque {
        n_buffers: usize,
    },
}

/// A column, or what is below a list.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) of: Type,
    pub(super) below: Vec<Column>,
    /// Its place among the nodes of a batch.
    pub(super) node: usize,
    /// Its first place among the buffers of a batch.
    pub(super) buffer: usize,
}

/// The columns of a schema, with the numbers of nodes and buffers that a batch must have.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) columns: Vec<Column>,
    pub(super) n_nodes: usize,
    pub(super) n_buffers: usize,
}

impl Schema {
    /// Reads a schema message; a sentence says what is wrong.
    pub(super) fn read(schema: Flat<'_>) -> Result<Self, String> {
        if schema.i16(0) != 0 {
            return Err("is big-endian, expected little-endian".to_owned());
        }
        let fields = schema.tables(1).ok_or("has a damaged schema")?;
        if fields.len() > MAX_COLUMNS {
            return Err(format!("has {} columns, the most are {MAX_COLUMNS}", fields.len()));
        }
        let mut found = Self { columns: Vec::new(), n_nodes: 0, n_buffers: 0 };
        found.columns =
            fields.into_iter().map(|field| found.column(field, 0)).collect::<Result<_, _>>()?;
        Ok(found)
    }

    fn column(&mut self, field: Flat<'_>, depth: usize) -> Result<Column, String> {
        let damaged = || "has a damaged schema".to_owned();
        if depth > MAX_DEPTH {
            return Err(format!("nests lists deeper than {MAX_DEPTH}"));
        }
        let name = field.text(0).unwrap_or_default().to_owned();
        let (of, n_buffers) = kind(field, &name)?;
        let (node, buffer) = (self.n_nodes, self.n_buffers);
        self.n_nodes += 1;
        self.n_buffers += n_buffers;
        let is_index = field.table(4).is_some();
        let below = if is_index { Vec::new() } else { field.tables(5).ok_or_else(damaged)? };
        if below.len() > MAX_COLUMNS || self.n_nodes > 16 * MAX_COLUMNS {
            return Err(damaged());
        }
        let below: Vec<Column> = below
            .into_iter()
            .map(|field| self.column(field, depth + 1))
            .collect::<Result<_, _>>()?;
        if matches!(of, Type::List { .. } | Type::FixedList { .. }) && below.len() != 1 {
            return Err(damaged());
        }
        Ok(Column { name, of, below, node, buffer })
    }
}

/// The type of a field and the number of its buffers.
fn kind(field: Flat<'_>, name: &str) -> Result<(Type, usize), String> {
    if field.table(4).is_some() {
        // numbers of entries in a dictionary
        return Ok((Type::Opaque { n_buffers: 2 }, 2));
    }
    let of = field.table(3);
    let number = |id| of.map_or(0, |of| of.i32(id));
    Ok(match field.u8(2) {
        1 => (Type::Opaque { n_buffers: 0 }, 0),
        2 => {
            let bits = usize::try_from(number(0)).unwrap_or(0);
            if ![8, 16, 32, 64].contains(&bits) {
                return Err(format!("column {name} holds whole numbers of {bits} bits"));
            }
            (Type::Int { bits, signed: of.is_some_and(|of| of.u8(1) != 0) }, 2)
        }
        3 => match of.map_or(0, |of| of.i16(0)) {
            precision @ 0..=2 => (Type::Float { bits: 16 << precision }, 2),
            other => return Err(format!("column {name} holds floats of precision {other}")),
        },
        5 => (Type::Text { wide: false }, 3),
        20 => (Type::Text { wide: true }, 3),
        6 => (Type::Bool, 2),
        12 => (Type::List { wide: false }, 2),
        21 => (Type::List { wide: true }, 2),
        16 => {
            let n = usize::try_from(number(0)).map_err(|_| format!("column {name} is damaged"))?;
            (Type::FixedList { n }, 1)
        }
        13 => (Type::Struct, 1),
        4 | 19 => (Type::Opaque { n_buffers: 3 }, 3),
        7..=11 | 15 | 17 | 18 => (Type::Opaque { n_buffers: 2 }, 2),
        other => {
            return Err(format!(
                "column {name} is of Arrow's type {other} (a union, a view or run-end encoded), which \
                 is not read"
            ));
        }
    })
}
