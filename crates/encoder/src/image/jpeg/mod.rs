//! JPEG files, decoded to the bit as libjpeg-turbo does, which is what Pillow calls.
//!
//! ```text
//! segments ─ tables ┐
//!          └ frame ─┴─ scans ─ coefficients ─ inverse DCT ─ samples ─ enlarged ─ colours
//! ```
//! The standard (ITU-T T.81) leaves the rounding of the transform, of half-size chroma and of the
//! colours to the decoder; those parts follow libjpeg-turbo. Read are sequential and progressive
//! Huffman files of 8 bits; a file that ends early or contradicts itself is refused.

mod bits;
mod colour;
mod frame;
mod idct;
mod scan;
mod upsample;

use super::photo::Photo;
use bits::Huffman;
use colour::Markers;
use frame::Frame;
use scan::{Tables, ZIGZAG};
use upsample::Samples;

pub(super) const SIGNATURE: &[u8] = &[0xff, 0xd8, 0xff];

pub(super) fn decode(bytes: &[u8]) -> Result<Photo, String> {
    let (mut tables, mut markers) = (Tables::default(), Markers::default());
    let mut frame: Option<Frame> = None;
    let mut at = 2;
    loop {
        let Some(marker) = next_marker(bytes, &mut at) else {
            // Only a progressive file can lack a scan that nothing announces.
            match frame {
                Some(frame) if frame.is_complete() && !frame.progressive => {
                    return photo(frame, &markers);
                }
                _ => return Err(ended(bytes)),
            }
        };
        if marker == 0xd9 {
            let frame = frame.filter(Frame::is_complete);
            let frame = frame.ok_or("is a damaged JPEG: it ends before all of its components")?;
            return photo(frame, &markers);
        }
        let segment = segment(bytes, &mut at)?;
        match marker {
            0xc0..=0xc2 if frame.is_some() => {
                return Err("is a damaged JPEG: it has two frame headers".to_owned());
            }
            0xc0..=0xc2 => frame = Some(Frame::parse(segment, marker == 0xc2, bytes.len())?),
            0xc4 => read_huffman(segment, &mut tables)?,
            0xdb => read_steps(segment, &mut tables)?,
            0xdd => tables.restart_interval = pair(segment).ok_or_else(|| ended(bytes))?.into(),
            0xda => {
                let frame = frame.as_mut().ok_or("is a damaged JPEG: a scan before its frame")?;
                at = scan::decode(frame, &tables, segment, bytes, at)?;
            }
            0xe0 => markers.jfif |= segment.starts_with(b"JFIF\0"),
            0xee if segment.starts_with(b"Adobe") => markers.adobe = segment.get(11).copied(),
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => {
                return Err(format!(
                    "is a lossless, hierarchical or arithmetic JPEG (marker {marker:#x}), expected a sequential or progressive one"
                ));
            }
            0xc9 | 0xca => {
                return Err("is a JPEG with arithmetic coding, expected Huffman coding".to_owned());
            }
            _ => {}
        }
    }
}

fn ended(bytes: &[u8]) -> String {
    format!("ends after {} bytes, before its image is complete", bytes.len())
}

/// The next marker that has a segment or ends the image; whatever else stands before it is skipped.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let found = bytes
        .get(*at..)?
        .windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xd0..=0xd8 | 0xff))?;
    *at += found + 2;
    bytes.get(*at - 1).copied()
}

/// The segment behind a marker, without its length.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], String> {
    let length = bytes.get(*at..).and_then(pair).ok_or_else(|| ended(bytes))?;
    let length = usize::from(length);
    if length < 2 {
        return Err(format!("is a damaged JPEG: a segment of {length} bytes at byte {at}"));
    }
    let segment = bytes.get(*at + 2..*at + length).ok_or_else(|| ended(bytes))?;
    *at += length;
    Ok(segment)
}

fn pair(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|&pair| u16::from_be_bytes(pair))
}

/// Quantisation tables (T.81, B.2.4.1), of 8 or 16 bits.
fn read_steps(mut segment: &[u8], tables: &mut Tables) -> Result<(), String> {
    let cut = "is a damaged JPEG: a quantisation table is cut";
    while let Some((&head, rest)) = segment.split_first() {
        let wide = head >> 4 > 0;
        let (steps, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or(cut)?;
        let table = tables.steps.get_mut(usize::from(head & 15)).ok_or(cut)?;
        let mut rows = [0; 64];
        for (k, &at) in ZIGZAG.iter().enumerate() {
            rows[usize::from(at)] = if wide {
                u16::from_be_bytes([steps[2 * k], steps[2 * k + 1]])
            } else {
                steps[k].into()
            };
        }
        *table = Some(rows);
        segment = rest;
    }
    Ok(())
}

/// Huffman tables (T.81, B.2.4.2).
fn read_huffman(mut segment: &[u8], tables: &mut Tables) -> Result<(), String> {
    let cut = "is a damaged JPEG: a Huffman table is cut";
    while let Some((&head, rest)) = segment.split_first() {
        let (counts, rest) = rest.split_at_checked(16).ok_or(cut)?;
        let n_symbols = counts.iter().map(|&n| usize::from(n)).sum();
        let (symbols, rest) = rest.split_at_checked(n_symbols).ok_or(cut)?;
        let class = if head >> 4 == 0 { &mut tables.dc } else { &mut tables.ac };
        let table = class.get_mut(usize::from(head & 15)).ok_or(cut)?;
        *table = Some(Huffman::new(counts, symbols)?);
        segment = rest;
    }
    Ok(())
}

fn photo(frame: Frame, markers: &Markers) -> Result<Photo, String> {
    let (width, height) = (frame.width, frame.height);
    let ids: Vec<_> = frame.components.iter().map(|component| component.id).collect();
    let mut components = Vec::with_capacity(ids.len());
    for component in frame.components {
        let (h, v) = component.sampling;
        let times = (frame.sampling.0 / h, frame.sampling.1 / v);
        if (times.0 * h, times.1 * v) != frame.sampling {
            return Err(format!(
                "is a JPEG with a component of {h}/{} the width and {v}/{} the height, expected a whole part of both",
                frame.sampling.0, frame.sampling.1
            ));
        }
        let steps = component.steps.expect("a complete frame's components had scans");
        let plane = idct::plane(&component, &steps);
        components.push(Samples { plane, size: component.size, times });
    }
    Ok(colour::photo(&components, &ids, markers, width, height))
}
