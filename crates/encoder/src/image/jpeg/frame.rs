//! The frame of a JPEG: its size, its components, and the coefficients the scans fill in.

use super::super::photo::{check_size, too_short};

/// The coefficients of 8 x 8 samples, in rows.
pub(super) type Block = [i16; 64];

/// One colour component.
pub(super) struct Component {
    pub(super) id: u8,
    /// Samples in an MCU across and down, in blocks (T.81: H and V).
    pub(super) sampling: (usize, usize),
    /// Which quantisation table.
    pub(super) table: usize,
    /// That table as it stood when the component's first scan began, in rows.
    pub(super) steps: Option<[u16; 64]>,
    /// Samples across and down.
    pub(super) size: (usize, usize),
    /// Blocks in a row, the padding to whole MCUs included.
    pub(super) n_across: usize,
    pub(super) blocks: Vec<Block>,
}

/// What a frame header says (T.81, B.2.2).
pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) width: usize,
    pub(super) height: usize,
    /// The largest sampling of any component.
    pub(super) sampling: (usize, usize),
    /// MCUs across and down.
    pub(super) n_mcus: (usize, usize),
    pub(super) components: Vec<Component>,
}

impl Frame {
    /// Parses the segment; `n_bytes` is the length of the file, which bounds what is allocated.
    pub(super) fn parse(segment: &[u8], progressive: bool, n_bytes: usize) -> Result<Self, String> {
        let damaged =
            || "is a damaged JPEG: its frame header is cut or contradicts itself".to_owned();
        let (header, rest) = segment.split_at_checked(6).ok_or_else(damaged)?;
        let depth = header[0];
        if depth != 8 {
            return Err(format!("is a JPEG of {depth} bits a sample, expected 8"));
        }
        let [height, width] = [1, 3].map(|i| u16::from_be_bytes([header[i], header[i + 1]]));
        check_size(width.into(), height.into())?;
        let n_components = usize::from(header[5]);
        if ![1, 3, 4].contains(&n_components) {
            return Err(format!("is a JPEG of {n_components} components, expected 1, 3 or 4"));
        }
        let entries: Vec<_> = rest.chunks_exact(3).take(n_components).collect();
        let samplings: Vec<_> =
            entries.iter().map(|e| (usize::from(e[1] >> 4), usize::from(e[1] & 15))).collect();
        let legal = |&(h, v): &(usize, usize)| (1..=4).contains(&h) && (1..=4).contains(&v);
        if entries.len() < n_components || !samplings.iter().all(legal) {
            return Err(damaged());
        }

        let most = |side: fn(&(usize, usize)) -> usize| samplings.iter().map(side).max();
        let sampling = (most(|s| s.0).ok_or_else(damaged)?, most(|s| s.1).ok_or_else(damaged)?);
        let (width, height) = (usize::from(width), usize::from(height));
        let n_mcus = (width.div_ceil(8 * sampling.0), height.div_ceil(8 * sampling.1));
        let component = |(entry, &(h, v)): (&&[u8], &(usize, usize))| Component {
            id: entry[0],
            sampling: (h, v),
            table: usize::from(entry[2]),
            steps: None,
            size: ((width * h).div_ceil(sampling.0), (height * v).div_ceil(sampling.1)),
            n_across: n_mcus.0 * h,
            blocks: Vec::new(),
        };
        let mut components: Vec<_> = entries.iter().zip(&samplings).map(component).collect();
        // Every block that is no padding takes a bit at least.
        let n_blocks: usize =
            components.iter().map(|c| c.size.0.div_ceil(8) * c.size.1.div_ceil(8)).sum();
        if n_blocks > n_bytes * 8 {
            return Err(too_short(width as u32, height as u32, n_bytes));
        }
        for component in &mut components {
            component.blocks = vec![[0; 64]; component.n_across * n_mcus.1 * component.sampling.1];
        }
        Ok(Self { progressive, width, height, sampling, n_mcus, components })
    }

    /// Whether every component had a scan.
    pub(super) fn is_complete(&self) -> bool {
        self.components.iter().all(|component| component.steps.is_some())
    }
}
