//! `FreeSurfer`'s `.annot`: a colour for every vertex, and a table of the regions of these colours.
//!
//! Source: <https://surfer.nmr.mgh.harvard.edu/fswiki/LabelsClutsAnnotationFiles>.

use std::{collections::BTreeMap, path::Path};

use crate::{
    error::{Error, Result},
    nii::Source,
    xml::Parsed,
};

/// The finest surfaces have a million vertices, of eight bytes each.
const MAX_BYTES: usize = 256 << 20;

/// A number for every vertex and what the numbers mean; -1 where no region has the colour.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Annotation {
    pub(super) keys: Vec<i32>,
    pub(super) table: BTreeMap<i32, String>,
}

/// Whether a file that begins like this, and is called like this, is an annotation: a number of vertices,
/// of which the first is number 0.
pub(crate) fn begins(path: &Path, start: &[u8]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_called = [".annot", ".annot.gz"].iter().any(|ending| name.ends_with(ending));
    is_called && start.len() > 8 && start[0] == 0 && start[4..8] == [0; 4]
}

/// Reads a file of either version of its colour table.
pub(super) fn read(path: &Path) -> Result<Annotation> {
    let refuse = |problem: String| Error::Surface { path: path.to_path_buf(), problem };
    let bytes = Source::open(path)?.up_to(MAX_BYTES)?;
    let bytes = bytes.ok_or_else(|| refuse(format!("has more than {MAX_BYTES} bytes")))?;
    parsed(&bytes).map_err(|problem| refuse(format!("is no whole annotation: {problem}")))
}

/// What is left of a file.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize, what: &str) -> Parsed<&'a [u8]> {
        let left = self.0.len();
        let taken = self.0.split_at_checked(n);
        let (taken, rest) =
            taken.ok_or_else(|| format!("it ends in {what}, {left} of {n} bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, what: &str) -> Parsed<i32> {
        let bytes = self.take(4, what)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A number of things that take at least `width` bytes each.
    fn count(&mut self, what: &str, width: usize) -> Parsed<usize> {
        let found = self.number(what)?;
        let n = usize::try_from(found).ok().filter(|n| n.saturating_mul(width) <= self.0.len());
        n.ok_or_else(|| format!("{what} is {found}, more than the file holds"))
    }

    fn text(&mut self, what: &str) -> Parsed<String> {
        let n = self.count(&format!("the length of {what}"), 1)?;
        let bytes = self.take(n, what)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(n);
        Ok(String::from_utf8_lossy(&bytes[..end]).trim().to_owned())
    }
}

fn parsed(bytes: &[u8]) -> Parsed<Annotation> {
    let mut rest = Rest(bytes);
    let n_vertices = rest.count("the number of vertices", 8)?;
    let mut colours = vec![0; n_vertices];
    for _ in 0..n_vertices {
        let [vertex, colour] = [rest.number("the vertices")?, rest.number("the vertices")?];
        let place = usize::try_from(vertex).ok().and_then(|vertex| colours.get_mut(vertex));
        *place.ok_or_else(|| format!("it has vertex {vertex} of {n_vertices}"))? = colour;
    }
    if rest.0.is_empty() || rest.number("the mark of the colour table")? != 1 {
        return Err("it has no colour table, expected one that names the regions".to_owned());
    }
    let mut table = BTreeMap::new();
    let mut of_colour = BTreeMap::new();
    let mut region = |key: i32, rest: &mut Rest| -> Parsed<()> {
        let name = rest.text("the name of a region")?;
        let mut colour = 0;
        for shift in [0, 8, 16] {
            colour |= rest.number("a colour")? << shift;
        }
        rest.number("a colour")?;
        table.insert(key, name);
        // of two regions of one colour the first has all vertices
        of_colour.entry(colour).or_insert(key);
        Ok(())
    };
    let first = rest.number("the colour table")?;
    if first > 0 {
        rest.text("the name of the colour table")?;
        // a length, a colour of four numbers
        if first as usize > rest.0.len() / 20 {
            return Err(format!("the number of regions is {first}, more than the file holds"));
        }
        for key in 0..first {
            region(key, &mut rest)?;
        }
    } else if first == -2 {
        rest.number("the colour table")?;
        rest.text("the name of the colour table")?;
        for _ in 0..rest.count("the number of regions", 24)? {
            let key = rest.number("the number of a region")?;
            region(key, &mut rest)?;
        }
    } else {
        return Err(format!(
            "its colour table is of version {}, expected 1 or 2",
            -i64::from(first)
        ));
    }
    // no colour is no region, whatever the table calls it
    let key = |colour: &i32| {
        if *colour == 0 { -1 } else { of_colour.get(colour).copied().unwrap_or(-1) }
    };
    Ok(Annotation { keys: colours.iter().map(key).collect(), table })
}
