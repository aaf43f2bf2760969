//! The zip archive of `torch.save`: which record lies where.
//!
//! Records are stored, not compressed, so that a storage is a range of the file. The directory at the
//! end is read (APPNOTE 6.3, sections 4.3.7 to 4.3.16) and held against the header before each record;
//! what other readers of zip disagree about (ranges that overlap, several roots, paths upwards) is
//! refused.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    error::{Error, Result, plain},
    source::{Cursor, Source},
};

const END: &[u8; 4] = b"PK\x05\x06";
const END_64: &[u8; 4] = b"PK\x06\x06";
const LOCATOR_64: &[u8; 4] = b"PK\x06\x07";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const LOCAL: &[u8; 4] = b"PK\x03\x04";

/// An end record with the longest comment.
const MAX_END: u64 = 22 + 0xffff;

/// Bytes of the header before each record, without its name.
const LOCAL_LEN: u64 = 30;

/// A record: where its bytes lie, and whether they lie there as they are.
#[derive(Clone, Debug)]
struct Record {
    range: Range<u64>,
    stored: bool,
}

/// The records of an archive with one root folder, by their names inside it.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) root: String,
    records: BTreeMap<String, Record>,
}

impl Archive {
    pub(crate) fn read(source: &Source) -> Result<Self> {
        let directory = directory(source)?;
        let start = directory.range.start;
        let mut cursor = Cursor::new(source, "the zip directory", start, directory.range.end);
        let mut headers = Vec::new();
        while cursor.left() > 0 {
            headers.push(Header::read(&mut cursor)?);
        }
        if headers.len() as u64 != directory.n_records {
            return Err(source.damaged(format!(
                "the zip directory lists {} records, its end promises {}",
                headers.len(),
                directory.n_records
            )));
        }
        for header in &headers {
            check_path(source, &header.name)?;
        }
        if !headers.iter().any(|header| header.name.ends_with("/data.pkl")) {
            let found = match headers.first() {
                Some(header) => {
                    format!("a zip archive without a folder of data.pkl (it has `{}`)", header.name)
                }
                None => "an empty zip archive".into(),
            };
            let found = plain(&found);
            return Err(Error::UnknownContent { path: source.path.clone(), found });
        }
        headers.sort_by_key(|header| header.at);
        let mut archive = Self { root: String::new(), records: BTreeMap::new() };
        let mut last_end = 0;
        for header in headers {
            let record = header.locate(source, last_end, start)?;
            last_end = record.range.end;
            archive.add(source, &header.name, record)?;
        }
        Ok(archive)
    }

    fn add(&mut self, source: &Source, path: &str, record: Record) -> Result<()> {
        let Some((root, name)) = path.split_once('/') else {
            return Err(source.damaged(format!("zip record `{path}` lies outside the one folder")));
        };
        if self.records.is_empty() {
            root.clone_into(&mut self.root);
        }
        if root != self.root {
            let expected = &self.root;
            return Err(source
                .damaged(format!("zip record `{path}` lies in another folder than `{expected}`")));
        }
        if self.records.insert(name.to_owned(), record).is_some() {
            return Err(source.damaged(format!("two zip records are called `{path}`")));
        }
        Ok(())
    }

    /// Whether there is a record of this name, or in a folder of this name that ends in a slash.
    pub(crate) fn has(&self, name: &str) -> bool {
        let next = self.records.range(name.to_owned()..).next();
        next.is_some_and(
            |(found, _)| {
                if name.ends_with('/') { found.starts_with(name) } else { found == name }
            },
        )
    }

    /// The bytes of a record in the file; `None` where there is no such record.
    pub(crate) fn range(&self, source: &Source, name: &str) -> Result<Option<Range<u64>>> {
        match self.records.get(name) {
            Some(record) if !record.stored => Err(source.unsupported(
                format!("the compressed zip record `{}/{name}`", self.root),
                "save it again with torch.save, which stores records as they are",
            )),
            record => Ok(record.map(|record| record.range.clone())),
        }
    }
}

/// Refuses names that a careless reader would follow out of the archive.
fn check_path(source: &Source, path: &str) -> Result<()> {
    let plain = !path.starts_with('/')
        && !path.contains(['\\', ':', '\0'])
        && !path.split('/').any(|part| part == ".." || part == ".");
    if plain {
        return Ok(());
    }
    Err(source.damaged(format!("zip record {path:?} has a path that leads out of the archive")))
}

/// Where the directory lies and how many records it lists.
struct Directory {
    range: Range<u64>,
    n_records: u64,
}

fn directory(source: &Source) -> Result<Directory> {
    let tail_start = source.len.saturating_sub(MAX_END);
    let mut tail = vec![0; (source.len - tail_start) as usize];
    source.read_at(tail_start, &mut tail)?;
    let ends_here = |at: usize| {
        let comment = tail[at..].get(20..22).map(|n| u16::from_le_bytes([n[0], n[1]]));
        tail[at..].starts_with(END) && comment.is_some_and(|n| at + 22 + n as usize == tail.len())
    };
    let Some(at) = (0..tail.len()).rev().find(|&at| ends_here(at)) else {
        return Err(source.damaged(format!(
            "the zip archive is truncated or damaged: {} bytes without the directory that ends one; \
             was the download cut short?",
            source.len
        )));
    };
    let end = tail_start + at as u64;
    let mut cursor = Cursor::new(source, "the end of the zip archive", end + 4, source.len);
    let disks = [cursor.u16()?, cursor.u16()?];
    let counts = [cursor.u16()?, cursor.u16()?];
    let (len, start) = (u64::from(cursor.u32()?), u64::from(cursor.u32()?));
    let several = || source.unsupported("a zip archive of several parts", "join them");

    let (n_records, len, start, end) = match locator(source, end)? {
        Some(end_64) => {
            let mut cursor = Cursor::new(source, "the end of the zip64 archive", end_64, end);
            if &cursor.array()? != END_64 {
                return Err(cursor.damaged("it does not begin as one"));
            }
            cursor.skip(8 + 2 + 2)?;
            let disks = [cursor.u32()?, cursor.u32()?];
            let counts = [cursor.u64()?, cursor.u64()?];
            if disks != [0, 0] || counts[0] != counts[1] {
                return Err(several());
            }
            (counts[0], cursor.u64()?, cursor.u64()?, end_64)
        }
        None if disks != [0, 0] || counts[0] != counts[1] => return Err(several()),
        None => (u64::from(counts[0]), len, start, end),
    };
    if start.checked_add(len) != Some(end) {
        return Err(source.damaged(format!(
            "the zip directory of {len} bytes at {start} does not end at byte {end}, where its end \
             record begins; was the download cut short?"
        )));
    }
    Ok(Directory { range: start..end, n_records })
}

/// The position of the zip64 end record, if something before the plain one points there.
fn locator(source: &Source, end: u64) -> Result<Option<u64>> {
    let Some(at) = end.checked_sub(20) else { return Ok(None) };
    let mut cursor = Cursor::new(source, "the zip64 locator", at, end);
    if &cursor.array()? != LOCATOR_64 {
        return Ok(None);
    }
    cursor.skip(4)?;
    let end_64 = cursor.u64()?;
    if end_64 > at {
        return Err(cursor.damaged(format!("it points to byte {end_64}, behind itself at {at}")));
    }
    Ok(Some(end_64))
}

/// One row of the directory.
struct Header {
    name: String,
    flags: u16,
    method: u16,
    /// Bytes in the archive, and after decompression.
    packed: u64,
    size: u64,
    /// Position of the header before the record.
    at: u64,
}

impl Header {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        if &cursor.array()? != CENTRAL {
            return Err(cursor.damaged("a row does not begin as one"));
        }
        cursor.skip(2 + 2)?;
        let (flags, method) = (cursor.u16()?, cursor.u16()?);
        cursor.skip(2 + 2 + 4)?;
        let [packed, size] = [cursor.u32()?, cursor.u32()?].map(u64::from);
        let [name_len, extra_len, comment_len] =
            [cursor.u16()?, cursor.u16()?, cursor.u16()?].map(u64::from);
        cursor.skip(2 + 2 + 4)?;
        let at = u64::from(cursor.u32()?);
        let name = cursor.text(name_len)?;
        let mut header = Self { name, flags, method, packed, size, at };
        let extra = cursor.bytes(extra_len)?;
        header.widen(&extra);
        cursor.skip(comment_len)?;
        Ok(header)
    }

    /// Takes the numbers that do not fit into 32 bits from the zip64 field.
    fn widen(&mut self, mut extra: &[u8]) {
        while let Some((&[a, b, c, d], rest)) = extra.split_first_chunk() {
            let (id, len) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]) as usize);
            let Some((mut field, rest)) = rest.split_at_checked(len) else { return };
            extra = rest;
            if id != 1 {
                continue;
            }
            for number in [&mut self.size, &mut self.packed, &mut self.at] {
                if *number == u64::from(u32::MAX)
                    && let Some((&bytes, rest)) = field.split_first_chunk()
                {
                    *number = u64::from_le_bytes(bytes);
                    field = rest;
                }
            }
        }
    }

    /// Holds the row against the header before the record, which must lie in `from..to`.
    fn locate(&self, source: &Source, from: u64, to: u64) -> Result<Record> {
        let name = &self.name;
        let damaged = |problem: &str| source.damaged(format!("zip record `{name}` {problem}"));
        if self.flags & 1 != 0 {
            return Err(
                source.unsupported(format!("the encrypted zip record `{name}`"), "decrypt it")
            );
        }
        if self.at < from {
            return Err(damaged("overlaps the record before it"));
        }
        if self.at > to {
            return Err(damaged("lies behind the directory"));
        }
        let mut cursor =
            Cursor::new(source, &format!("the header of zip record `{name}`"), self.at, to);
        if &cursor.array()? != LOCAL {
            return Err(cursor.damaged("it does not begin as one"));
        }
        cursor.skip(2)?;
        let (flags, method) = (cursor.u16()?, cursor.u16()?);
        cursor.skip(2 + 2 + 4)?;
        let sizes = [cursor.u32()?, cursor.u32()?].map(u64::from);
        let [name_len, extra_len] = [cursor.u16()?, cursor.u16()?].map(u64::from);
        if cursor.bytes(name_len)? != name.as_bytes() || method != self.method {
            return Err(cursor.damaged("it disagrees with the directory about name or method"));
        }
        // a stream of unknown length has its sizes behind the record, a zip64 one in a field
        let later = flags & 8 != 0 || sizes.contains(&u64::from(u32::MAX));
        if !later && sizes != [self.packed, self.size] {
            return Err(cursor
                .damaged(format!("it claims {} bytes, the directory {}", sizes[0], self.packed)));
        }
        let start = self.at + LOCAL_LEN + name_len + extra_len;
        let stored = self.method == 0;
        match start.checked_add(self.packed) {
            Some(end) if end <= to && (!stored || self.packed == self.size) => {
                Ok(Record { range: start..end, stored })
            }
            _ => Err(damaged(&format!(
                "claims {} bytes ({} unpacked) from byte {start}, the directory begins at {to}",
                self.packed, self.size
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
