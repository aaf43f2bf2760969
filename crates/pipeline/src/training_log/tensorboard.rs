//! Event files as `TensorBoard` reads them: records of protocol buffers, each framed by its length and checksums.
//!
//! Sources: `tensorflow/core/lib/io/record_writer.h`, `tensorflow/core/util/event.proto` and `framework/summary.proto`. No
//! library is used: a record is a handful of fields, and the crates for it bring a compiler of protocol buffers along.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

use serde_json::Value;

/// The version that the first record of a file must have.
const VERSION: &str = "brain.Event:2";

/// An event file that is written.
pub(super) struct EventFile {
    file: File,
}

impl EventFile {
    /// Opens a file to append to. A torn record at its end is cut off; a training that goes on after a step says
    /// so, upon which a reader forgets what was written of later ones.
    pub(super) fn open(path: &Path, resumed: Option<usize>) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = whole_records(&bytes);
        file.set_len(whole as u64)?;
        let mut events = Self { file };
        if whole == 0 {
            events.write(&[double(1, super::now()), text(3, VERSION)].concat())?;
        }
        if let Some(step) = resumed {
            // SessionLog { status: START }: points from this step on are forgotten
            let session = message(7, &varint_field(1, 1));
            let event = [double(1, super::now()), varint_field(2, step as u64 + 1), session];
            events.write(&event.concat())?;
        }
        Ok(events)
    }

    /// Every number of an entry but its step, as a curve of its own.
    pub(super) fn scalars(&mut self, entry: &Value) -> io::Result<()> {
        let step = entry["step"].as_u64().unwrap_or(0);
        let values = entry.as_object().into_iter().flatten().filter(|(name, _)| *name != "step");
        let values = values.filter_map(|(name, value)| {
            let value = value.as_f64()? as f32;
            Some(message(1, &[text(1, name), float(2, value)].concat()))
        });
        let summary: Vec<u8> = values.flatten().collect();
        if summary.is_empty() {
            return Ok(());
        }
        let event = [double(1, super::now()), varint_field(2, step), message(5, &summary)];
        self.write(&event.concat())
    }

    /// One record: length, its checksum, data, their checksum.
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

/// Bytes of the whole records that a file begins with.
fn whole_records(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(data) = record_at(bytes, at) {
        at += data.len() + 16;
    }
    at
}

/// The data of a whole record.
fn record_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = bytes.get(at..at + 8)?;
    if word(at + 8)? != masked_crc(length) {
        return None;
    }
    let end =
        at.checked_add(12)?.checked_add(u64::from_le_bytes(length.try_into().ok()?) as usize)?;
    let data = bytes.get(at + 12..end)?;
    (word(end)? == masked_crc(data)).then_some(data)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn varint_field(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn double(field: u64, value: f64) -> Vec<u8> {
    [varint(field << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn float(field: u64, value: f32) -> Vec<u8> {
    [varint(field << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

fn message(field: u64, data: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(data.len() as u64), data.to_vec()].concat()
}

fn text(field: u64, value: &str) -> Vec<u8> {
    message(field, value.as_bytes())
}

/// CRC-32C, rotated and shifted as `TFRecord` wants it.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 with Castagnoli's polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // the check value of RFC 3720's CRC-32C, and 32 zeros as in its appendix B.4
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_record_is_as_tensorflow_writes_it() {
        // version and one scalar, field by field as event.proto and summary.proto number them
        assert_eq!(text(3, VERSION), b"\x1a\x0dbrain.Event:2");
        let scalar = message(1, &[text(1, "loss"), float(2, 1.5)].concat());
        assert_eq!(scalar, b"\x0a\x0b\x0a\x04loss\x15\x00\x00\xc0\x3f");
        assert_eq!(varint_field(2, 300), [0x10, 0xac, 0x02]);
    }

    #[test]
    fn a_torn_record_is_cut_off_and_a_resumed_training_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.out.tfevents.test");
        let mut events = EventFile::open(&path, None).unwrap();
        events.scalars(&json!({ "step": 1, "loss": 2.5, "best": true })).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole_records(&whole), whole.len());
        std::fs::write(&path, [&whole[..], &whole[..20]].concat()).unwrap();
        EventFile::open(&path, Some(1)).unwrap();
        let found = std::fs::read(&path).unwrap();
        assert_eq!(found[..whole.len()], whole);
        let session = record_at(&found, whole.len()).unwrap();
        // after the time: step 2, then a session log that starts
        assert_eq!(session[9..], [0x10, 2, 0x3a, 2, 0x08, 1]);
        assert_eq!(whole_records(&found), found.len());
    }
}
