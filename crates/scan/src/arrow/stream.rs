//! Arrow's stream of messages: a schema, then batches of rows whose buffers are read where they lie.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    flat::Flat,
    schema::{Column, Schema, Type},
};
use crate::error::{Error, Result};

/// The most bytes that one message may describe itself with.
const MAX_METADATA: usize = 64 << 20;

/// The most batches of one file.
const MAX_BATCHES: usize = 1 << 20;

/// The most bytes that are read of one row.
const MAX_ROW_BYTES: u64 = 4 << 30;

/// An Arrow file, or a stream as Hugging Face `datasets` keeps it.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    path: PathBuf,
    n_bytes: u64,
    pub(super) schema: Schema,
    batches: Vec<Batch>,
}

/// Rows that lie together.
#[derive(Clone, Debug)]
struct Batch {
    n_rows: u64,
    /// Where its buffers begin in the file.
    body: u64,
    body_len: u64,
    /// Values and missing values of each node.
    nodes: Vec<(u64, u64)>,
    /// Place in the body and length in bytes.
    buffers: Vec<(u64, u64)>,
}

/// Numbers with two axes.
pub(super) struct Matrix {
    pub(super) shape: [usize; 2],
    pub(super) values: Vec<f64>,
}

impl Stream {
    /// Reads the schema and where batches lie, no row.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(attach)?;
        let n_bytes = file.metadata().map_err(attach)?.len();
        let refuse = |problem: String| Error::Arrow { path: path.to_path_buf(), problem };
        let mut at = 0_u64;
        let mut schema = None;
        let mut batches = Vec::new();
        let mut start = [0; 8];
        let n = read_at(&mut file, 0, &mut start).map_err(attach)?;
        if n == 8 && &start == b"ARROW1\0\0" {
            at = 8;
        }
        loop {
            let mut head = [0; 8];
            let n = read_at(&mut file, at, &mut head).map_err(attach)?;
            if n == 0 {
                break;
            }
            let (mark, length) = head.split_at(4);
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            if n < 8 || mark != [0xff; 4] {
                return Err(refuse(format!("has no message at byte {at}, where one must begin")));
            }
            if length == 0 {
                break;
            }
            let rest = n_bytes.saturating_sub(at + 8);
            if length > MAX_METADATA || length as u64 > rest {
                let problem =
                    format!("has a message of {length} bytes, {rest} bytes before its end");
                return Err(refuse(problem));
            }
            let mut metadata = vec![0; length];
            read_at(&mut file, at + 8, &mut metadata).map_err(attach)?;
            let damaged = || refuse(format!("has a damaged message at byte {at}"));
            let message = Flat::root(&metadata).ok_or_else(damaged)?;
            let body_len = u64::try_from(message.i64(3)).map_err(|_| damaged())?;
            let body = at + 8 + length as u64;
            if body_len > n_bytes.saturating_sub(body) {
                return Err(refuse(format!(
                    "ends early: it has {n_bytes} bytes, a batch of it ends {body_len} bytes after byte {body}"
                )));
            }
            let header = message.table(2).ok_or_else(damaged)?;
            match (message.u8(1), &schema) {
                (1, None) => schema = Some(Schema::read(header).map_err(refuse)?),
                (3, Some(schema)) => {
                    let batch = Batch::read(header, schema, body, body_len).map_err(refuse)?;
                    batches.push(batch);
                }
                // entries of a dictionary: columns of them are not read
                (2, Some(_)) => {}
                _ => return Err(damaged()),
            }
            if batches.len() > MAX_BATCHES {
                return Err(refuse(format!("has more than {MAX_BATCHES} batches")));
            }
            at = body + body_len;
        }
        let schema = schema.ok_or_else(|| refuse("has no schema".to_owned()))?;
        Ok(Self { path: path.to_path_buf(), n_bytes, schema, batches })
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub(super) fn n_rows(&self) -> usize {
        self.batches.iter().fold(0_u64, |n, batch| n.saturating_add(batch.n_rows)) as usize
    }

    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.schema.columns.iter().find(|column| column.name == name)
    }

    pub(super) fn refuse(&self, problem: String) -> Error {
        Error::Arrow { path: self.path.clone(), problem }
    }

    /// A reader of values.
    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        let attach = |source| Error::Read { path: self.path.clone(), source };
        Ok(Reader { stream: self, file: File::open(&self.path).map_err(attach)? })
    }
}

impl Batch {
    fn read(header: Flat<'_>, schema: &Schema, body: u64, body_len: u64) -> Result<Self, String> {
        let damaged = || "has a damaged batch".to_owned();
        if header.table(3).is_some() {
            return Err("has compressed batches; write it without compression".to_owned());
        }
        let n_rows = u64::try_from(header.i64(0)).map_err(|_| damaged())?;
        let nodes = header.pairs(1).ok_or_else(damaged)?;
        let buffers = header.pairs(2).ok_or_else(damaged)?;
        if nodes.len() != schema.n_nodes || buffers.len() != schema.n_buffers {
            return Err(format!(
                "has a batch of {} nodes and {} buffers, its schema asks for {} and {}",
                nodes.len(),
                buffers.len(),
                schema.n_nodes,
                schema.n_buffers
            ));
        }
        let inside = |(at, n): &(u64, u64)| at.checked_add(*n).is_some_and(|end| end <= body_len);
        if !buffers.iter().all(inside) {
            return Err("has a buffer that lies outside of its batch".to_owned());
        }
        // a list takes four bytes a row
        if n_rows > body_len {
            return Err(format!("claims {n_rows} rows in {body_len} bytes"));
        }
        Ok(Self { n_rows, body, body_len, nodes, buffers })
    }
}

/// Reads single values and rows of a stream.
pub(super) struct Reader<'a> {
    stream: &'a Stream,
    file: File,
}

impl<'a> Reader<'a> {
    fn batch_of(&self, row: usize) -> Result<(&'a Batch, u64)> {
        let mut row = row as u64;
        for batch in &self.stream.batches {
            if row < batch.n_rows {
                return Ok((batch, row));
            }
            row -= batch.n_rows;
        }
        Err(self.stream.refuse(format!("has {} rows, not more", self.stream.n_rows())))
    }

    /// Bytes of one buffer; refused where it is shorter.
    fn bytes(&mut self, batch: &Batch, buffer: usize, from: u64, n: u64) -> Result<Vec<u8>> {
        let (at, length) = batch.buffers[buffer];
        if from.checked_add(n).is_none_or(|end| end > length) || n > MAX_ROW_BYTES {
            let problem = format!(
                "has a buffer of {length} bytes, of which {n} from byte {from} on are asked for"
            );
            return Err(self.stream.refuse(problem));
        }
        debug_assert!(at + length <= batch.body_len);
        let mut bytes = vec![0; n as usize];
        let attach = |source| Error::Read { path: self.stream.path.clone(), source };
        let found = read_at(&mut self.file, batch.body + at + from, &mut bytes).map_err(attach)?;
        if found < bytes.len() {
            return Err(self.stream.refuse("ends early".to_owned()));
        }
        Ok(bytes)
    }

    /// Whether a value is there.
    fn is_there(&mut self, batch: &Batch, column: &Column, at: u64) -> Result<bool> {
        let (length, n_missing) = batch.nodes[column.node];
        if at >= length {
            let problem =
                format!("column {} has {length} values, one more is asked for", column.name);
            return Err(self.stream.refuse(problem));
        }
        if n_missing == 0 || batch.buffers[column.buffer].1 == 0 {
            return Ok(true);
        }
        let byte = self.bytes(batch, column.buffer, at / 8, 1)?[0];
        Ok(byte >> (at % 8) & 1 == 1)
    }

    /// Where the values of positions `at..at + n` of a list column begin and end below it: `n + 1` numbers.
    fn bounds(&mut self, batch: &Batch, column: &Column, at: u64, n: u64) -> Result<Vec<u64>> {
        let wide = match column.of {
            Type::FixedList { n: each } => {
                let each = each as u64;
                return (0..=n)
                    .map(|i| at.checked_add(i)?.checked_mul(each))
                    .collect::<Option<_>>()
                    .ok_or_else(|| self.stream.refuse("has a damaged list".to_owned()));
            }
            Type::List { wide } | Type::Text { wide } => wide,
            _ => {
                let problem = format!("column {} is no list", column.name);
                return Err(self.stream.refuse(problem));
            }
        };
        let width = if wide { 8 } else { 4 };
        let bytes = self.bytes(
            batch,
            column.buffer + 1,
            at.saturating_mul(width),
            (n + 1).saturating_mul(width),
        )?;
        let numbers: Vec<i64> = if wide {
            bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
        } else {
            bytes.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect()
        };
        let ascends = numbers.windows(2).all(|pair| pair[0] <= pair[1]);
        if !ascends || numbers.first().is_none_or(|first| *first < 0) {
            let problem = format!("column {} has offsets that go back", column.name);
            return Err(self.stream.refuse(problem));
        }
        Ok(numbers.into_iter().map(|number| number as u64).collect())
    }

    /// Size along both axes of the lists of lists in one row; none where the row has none.
    pub(super) fn shape(&mut self, column: &Column, row: usize) -> Result<Option<[usize; 2]>> {
        Ok(self.place(column, row)?.map(|(shape, _)| shape))
    }

    /// The shape of a row, and where its numbers begin.
    fn place(&mut self, column: &Column, row: usize) -> Result<Option<([usize; 2], u64)>> {
        let (batch, at) = self.batch_of(row)?;
        if !self.is_there(batch, column, at)? {
            return Ok(None);
        }
        let outer = self.bounds(batch, column, at, 1)?;
        let (from, n) = (outer[0], outer[1] - outer[0]);
        let Some(inner) = column.below.first() else {
            return Err(self.stream.refuse(format!("column {} is no list", column.name)));
        };
        let (length, _) = batch.nodes[inner.node];
        if from.checked_add(n).is_none_or(|end| end > length) {
            let problem = format!("column {} ends beyond its lists", column.name);
            return Err(self.stream.refuse(problem));
        }
        let bounds = self.bounds(batch, inner, from, n)?;
        let mut lengths = bounds.windows(2).map(|pair| pair[1] - pair[0]);
        let first = lengths.next().unwrap_or(0);
        if let Some(other) = lengths.find(|other| *other != first) {
            let problem = format!(
                "row {row} has frames of {first} and of {other} numbers in column {}, expected one length",
                column.name
            );
            return Err(self.stream.refuse(problem));
        }
        Ok(Some(([n as usize, first as usize], bounds[0])))
    }

    /// The lists of lists of one row.
    pub(super) fn matrix(&mut self, column: &Column, row: usize) -> Result<Option<Matrix>> {
        let Some((shape, from)) = self.place(column, row)? else { return Ok(None) };
        let inner = &column.below[0];
        let Some(numbers) = inner.below.first() else {
            return Err(self.stream.refuse(format!("column {} holds no numbers", column.name)));
        };
        let n = (shape[0] as u64).saturating_mul(shape[1] as u64);
        let values = self.numbers(row, numbers, from, n)?;
        Ok(Some(Matrix { shape, values }))
    }

    /// Numbers from one position on.
    fn numbers(&mut self, row: usize, column: &Column, from: u64, n: u64) -> Result<Vec<f64>> {
        let (batch, _) = self.batch_of(row)?;
        let (Type::Int { bits, .. } | Type::Float { bits }) = column.of else {
            return Err(self.stream.refuse(format!("column {} holds no numbers", column.name)));
        };
        let width = bits as u64 / 8;
        let start = from.saturating_mul(width);
        let bytes = self.bytes(batch, column.buffer + 1, start, n.saturating_mul(width))?;
        Ok(decoded(&bytes, &column.of))
    }

    /// One number of a plain column; none where it is missing.
    pub(super) fn number(&mut self, column: &Column, row: usize) -> Result<Option<f64>> {
        let (batch, at) = self.batch_of(row)?;
        if !self.is_there(batch, column, at)? {
            return Ok(None);
        }
        if column.of == Type::Bool {
            let byte = self.bytes(batch, column.buffer + 1, at / 8, 1)?[0];
            return Ok(Some(f64::from(byte >> (at % 8) & 1)));
        }
        Ok(self.numbers(row, column, at, 1)?.first().copied())
    }

    /// One text; none where it is missing.
    pub(super) fn text(&mut self, column: &Column, row: usize) -> Result<Option<String>> {
        let (batch, at) = self.batch_of(row)?;
        if !self.is_there(batch, column, at)? {
            return Ok(None);
        }
        let bounds = self.bounds(batch, column, at, 1)?;
        let bytes = self.bytes(batch, column.buffer + 2, bounds[0], bounds[1] - bounds[0])?;
        let text = String::from_utf8(bytes);
        text.map(Some)
            .map_err(|_| self.stream.refuse(format!("column {} is not UTF-8", column.name)))
    }
}

fn decoded(bytes: &[u8], of: &Type) -> Vec<f64> {
    match of {
        Type::Float { bits: 16 } => {
            bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f64()).collect()
        }
        Type::Float { bits: 32 } => {
            bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        }
        Type::Float { .. } => {
            bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
        }
        Type::Int { bits, signed } => bytes
            .chunks_exact(bits / 8)
            .map(|chunk| {
                let negative = *signed && chunk.last().is_some_and(|high| high & 0x80 != 0);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                wide[..chunk.len()].copy_from_slice(chunk);
                if *signed {
                    i64::from_le_bytes(wide) as f64
                } else {
                    u64::from_le_bytes(wide) as f64
                }
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &mut File, at: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
    file.seek(SeekFrom::Start(at))?;
    let mut n = 0;
    while n < buffer.len() {
        match file.read(&mut buffer[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}
