//! The closed set of element types that this crate describes, and how many bytes they take.

use std::fmt;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their names say it all")]
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    F8E4M3,
    F8E5M2,
    /// Complex, two of F64.
    C128,
    /// Complex, two of F32.
    C64,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    /// Blocks of a GGUF file, quantised along the last dimension.
    Quantised(GgmlType),
}

/// The block-quantised types of ggml, as named there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "ggml's names")]
#[allow(non_camel_case_types, reason = "ggml's names")]
pub enum GgmlType {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
}

impl GgmlType {
    /// Elements of one block.
    pub fn block_len(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::Q8_K => 256,
        }
    }

    /// Bytes of one block: the packed quants, with scales and minima in f16 (`ggml-common.h`).
    pub fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q2_K => 16 + 64 + 4,
            Self::Q3_K => 32 + 64 + 12 + 2,
            Self::Q4_K => 4 + 12 + 128,
            Self::Q5_K => 4 + 12 + 32 + 128,
            Self::Q6_K => 128 + 64 + 16 + 2,
            Self::Q8_K => 4 + 256 + 32,
        }
    }
}

impl Dtype {
    /// Bytes of one element, or of one block of a quantised type.
    pub fn size(self) -> usize {
        match self {
            Self::C128 => 16,
            Self::F64 | Self::C64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Quantised(blocks) => blocks.block_bytes(),
        }
    }

    /// Bytes of a row-major array, or `None` where they overflow or where the last dimension is no
    /// whole number of blocks.
    pub fn n_bytes(self, shape: &[usize]) -> Option<u64> {
        let mut n: u64 = 1;
        // a zero anywhere makes the array empty, however large the others are
        for &dim in shape.iter().filter(|_| !shape.contains(&0)) {
            n = n.checked_mul(dim as u64)?;
        }
        if shape.contains(&0) {
            n = 0;
        }
        if let Self::Quantised(blocks) = self {
            let len = blocks.block_len();
            if shape.last().is_none_or(|last| !last.is_multiple_of(len)) {
                return None;
            }
            n /= len as u64;
        }
        n.checked_mul(self.size() as u64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantised(blocks) => fmt::Debug::fmt(blocks, f),
            plain => fmt::Debug::fmt(plain, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_elements_or_blocks() {
        assert_eq!(Dtype::BF16.n_bytes(&[3, 5]), Some(30));
        assert_eq!(Dtype::F64.n_bytes(&[]), Some(8));
        assert_eq!(Dtype::Quantised(GgmlType::Q4_1).n_bytes(&[2, 64]), Some(80));
        assert_eq!(Dtype::Quantised(GgmlType::Q6_K).n_bytes(&[3, 512]), Some(3 * 2 * 210));
    }

    #[test]
    fn bytes_that_cannot_be_are_none() {
        assert_eq!(Dtype::F32.n_bytes(&[usize::MAX, 2]), None);
        assert_eq!(Dtype::F32.n_bytes(&[usize::MAX / 2]), None);
        assert_eq!(Dtype::F32.n_bytes(&[usize::MAX, 2, 0]), Some(0));
        assert_eq!(Dtype::Quantised(GgmlType::Q8_0).n_bytes(&[32, 33]), None);
        assert_eq!(Dtype::Quantised(GgmlType::Q8_0).n_bytes(&[]), None);
    }
}
