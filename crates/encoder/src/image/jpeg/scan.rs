//! Scans to coefficients: sequential (T.81, F.2) and progressive (T.81, G.1 and G.2).

use super::bits::{Bits, Huffman};
use super::frame::{Block, Frame};

/// Where the k-th coefficient of a zigzag stands in the rows of a block (T.81, figure 5).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The tables that scans refer to by number.
#[derive(Default)]
pub(super) struct Tables {
    /// Quantisation steps, in rows.
    pub(super) steps: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Huffman>; 4],
    pub(super) ac: [Option<Huffman>; 4],
    /// MCUs between restart markers; 0: none.
    pub(super) restart_interval: usize,
}

/// One component's part in a scan.
#[derive(Clone, Copy)]
struct Part<'a> {
    component: usize,
    dc: Option<&'a Huffman>,
    ac: Option<&'a Huffman>,
}

/// Which coefficients a scan carries, and which of their bits.
struct Band {
    first: usize,
    last: usize,
    /// Whether bits above `shift` were sent before.
    refines: bool,
    shift: u32,
}

fn damaged(what: &str) -> String {
    format!("is a damaged JPEG: {what}")
}

fn missing() -> String {
    damaged("a scan names a Huffman table that is not there")
}

/// Decodes the scan whose header is `header` and whose bits start at `at`; says where they end.
pub(super) fn decode(
    frame: &mut Frame,
    tables: &Tables,
    header: &[u8],
    bytes: &[u8],
    at: usize,
) -> Result<usize, String> {
    let (parts, band) = parse(frame, tables, header)?;
    for part in &parts {
        let component = &mut frame.components[part.component];
        if component.steps.is_none() {
            let steps = tables.steps.get(component.table).copied().flatten();
            component.steps = Some(
                steps.ok_or_else(|| damaged("a component's quantisation table is not there"))?,
            );
        }
    }
    let alone = parts.len() == 1;
    let (n_across, n_down) = if alone {
        let (width, height) = frame.components[parts[0].component].size;
        (width.div_ceil(8), height.div_ceil(8))
    } else {
        frame.n_mcus
    };
    let mut coder = Coder { bits: Bits::new(bytes, at), last_dc: [0; 4], n_empty: 0 };
    for mcu in 0..n_across * n_down {
        if tables.restart_interval > 0 && mcu > 0 && mcu % tables.restart_interval == 0 {
            coder.bits.restart()?;
            (coder.last_dc, coder.n_empty) = ([0; 4], 0);
        }
        let (x, y) = (mcu % n_across, mcu / n_across);
        for part in &parts {
            let component = &mut frame.components[part.component];
            let (h, v) = if alone { (1, 1) } else { component.sampling };
            for (row, column) in (0..v).flat_map(|row| (0..h).map(move |column| (row, column))) {
                let index = (y * v + row) * component.n_across + x * h + column;
                let block = &mut component.blocks[index];
                if frame.progressive {
                    coder.progressive(block, part, &band)?;
                } else {
                    coder.sequential(block, part)?;
                }
            }
        }
    }
    Ok(coder.bits.position())
}

fn parse<'a>(
    frame: &Frame,
    tables: &'a Tables,
    header: &[u8],
) -> Result<(Vec<Part<'a>>, Band), String> {
    let cut = || damaged("a scan header is cut or contradicts itself");
    let n = usize::from(*header.first().ok_or_else(cut)?);
    let entries = header.get(1..=2 * n).ok_or_else(cut)?;
    let [first, last, bits] = *header.get(2 * n + 1..2 * n + 4).ok_or_else(cut)? else {
        return Err(cut());
    };
    let part = |entry: &[u8]| {
        let component = frame.components.iter().position(|c| c.id == entry[0]).ok_or_else(cut)?;
        let [dc, ac] = [entry[1] >> 4, entry[1] & 15].map(usize::from);
        let dc = tables.dc.get(dc).and_then(Option::as_ref);
        Ok(Part { component, dc, ac: tables.ac.get(ac).and_then(Option::as_ref) })
    };
    let parts = entries.chunks_exact(2).map(part).collect::<Result<Vec<_>, String>>()?;
    let [first, last] = [first, last].map(usize::from);
    let band = Band { first, last, refines: bits >> 4 > 0, shift: u32::from(bits & 15) };
    let repeated = (1..n).any(|i| parts[..i].iter().any(|p| p.component == parts[i].component));
    let legal = first <= last && last < 64 && band.shift < 14;
    let alone = first == 0 && last == 0 || first > 0 && n == 1;
    if n == 0 || repeated || frame.progressive && !(legal && alone) {
        return Err(cut());
    }
    Ok((parts, band))
}

/// What is carried from block to block.
struct Coder<'a> {
    bits: Bits<'a>,
    /// Each component's last DC coefficient.
    last_dc: [i32; 4],
    /// Blocks ahead that hold nothing new in this band (T.81: EOBRUN).
    n_empty: u32,
}

impl Coder<'_> {
    fn dc(&mut self, part: &Part) -> Result<i32, String> {
        let length = part.dc.ok_or_else(missing)?.symbol(&mut self.bits)?;
        if length > 15 {
            return Err(damaged("a DC coefficient is too long"));
        }
        let last = &mut self.last_dc[part.component];
        *last = last.wrapping_add(self.bits.take_signed(length.into())?);
        Ok(*last)
    }

    fn sequential(&mut self, block: &mut Block, part: &Part) -> Result<(), String> {
        block[0] = self.dc(part)? as i16;
        let table = part.ac.ok_or_else(missing)?;
        let mut k = 1;
        while k < 64 {
            let (n_zeros, length) = run(table.symbol(&mut self.bits)?);
            if length == 0 && n_zeros < 15 {
                break;
            }
            k += n_zeros;
            if length > 0 {
                *coefficient(block, k)? = self.bits.take_signed(length)? as i16;
            }
            k += 1;
        }
        Ok(())
    }

    fn progressive(&mut self, block: &mut Block, part: &Part, band: &Band) -> Result<(), String> {
        match (band.first, band.refines) {
            (0, false) => block[0] = (self.dc(part)? << band.shift) as i16,
            (0, true) => block[0] |= (self.bits.take(1)? << band.shift) as i16,
            (_, false) => self.ac_first(block, part.ac.ok_or_else(missing)?, band)?,
            (_, true) => self.ac_refined(block, part.ac.ok_or_else(missing)?, band)?,
        }
        Ok(())
    }

    fn ac_first(&mut self, block: &mut Block, table: &Huffman, band: &Band) -> Result<(), String> {
        let mut k = band.first;
        while self.n_empty == 0 && k <= band.last {
            let (n_zeros, length) = run(table.symbol(&mut self.bits)?);
            if length == 0 && n_zeros < 15 {
                self.n_empty = self.empty_blocks(n_zeros)?;
                break;
            }
            k += n_zeros;
            if length > 0 {
                let value = self.bits.take_signed(length)? << band.shift;
                *coefficient(block, k)? = value as i16;
            }
            k += 1;
        }
        self.n_empty = self.n_empty.saturating_sub(1);
        Ok(())
    }

    /// A refinement sends new coefficients, and between them one bit for each that is not zero.
    fn ac_refined(
        &mut self,
        block: &mut Block,
        table: &Huffman,
        band: &Band,
    ) -> Result<(), String> {
        let one = 1 << band.shift;
        let mut k = band.first;
        while self.n_empty == 0 && k <= band.last {
            let (mut n_zeros, length) = run(table.symbol(&mut self.bits)?);
            let new = match length {
                0 if n_zeros < 15 => {
                    self.n_empty = self.empty_blocks(n_zeros)?;
                    break;
                }
                0 => 0,
                1 => (2 * self.bits.take(1)? - 1) as i16 * one,
                _ => return Err(damaged("a refinement holds more than one bit")),
            };
            while k <= band.last {
                let value = &mut block[usize::from(ZIGZAG[k])];
                if *value != 0 {
                    self.refine(value, one)?;
                } else if n_zeros == 0 {
                    *value = new;
                    break;
                } else {
                    n_zeros -= 1;
                }
                k += 1;
            }
            k += 1;
        }
        if self.n_empty > 0 {
            for &at in &ZIGZAG[k..=band.last] {
                let value = &mut block[usize::from(at)];
                if *value != 0 {
                    self.refine(value, one)?;
                }
            }
            self.n_empty -= 1;
        }
        Ok(())
    }

    fn refine(&mut self, value: &mut i16, one: i16) -> Result<(), String> {
        if self.bits.take(1)? == 1 && value.unsigned_abs() & one as u16 == 0 {
            *value = value.wrapping_add(value.signum() * one);
        }
        Ok(())
    }

    /// How many blocks a run of empty ones spans, this one included.
    fn empty_blocks(&mut self, length: usize) -> Result<u32, String> {
        Ok((1 << length) + self.bits.take(length as u32)? as u32)
    }
}

/// A symbol's two halves: zeros to skip, and the length of the coefficient behind them.
fn run(symbol: u8) -> (usize, u32) {
    (usize::from(symbol >> 4), u32::from(symbol & 15))
}

fn coefficient(block: &mut Block, k: usize) -> Result<&mut i16, String> {
    let at = ZIGZAG.get(k).ok_or_else(|| damaged("a block holds more than 64 coefficients"))?;
    Ok(&mut block[usize::from(*at)])
}
