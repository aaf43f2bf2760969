//! Views with strides, read in the order of the file and scattered into row-major order.

use crate::{container::Entry, error::Result, source::Source};

/// Bytes of the file that are held at a time.
const PIECE: u64 = 1 << 23;

/// A dimension: its length, and how far apart neighbours are in the file and in the result, in bytes.
struct Axis {
    len: usize,
    from: u64,
    to: usize,
}

/// Fills `out` with the elements of a view whose neighbours are `strides` elements apart.
pub(crate) fn gather(
    source: &Source,
    entry: &Entry,
    strides: &[usize],
    out: &mut [u8],
) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let size = entry.dtype.size();
    let mut axes = Vec::with_capacity(strides.len());
    let mut to = size;
    for (&len, &stride) in entry.shape.iter().zip(strides).rev() {
        axes.push(Axis { len, from: stride as u64 * size as u64, to });
        to *= len;
    }
    axes.retain(|axis| axis.len > 1);
    axes.sort_by_key(|axis| std::cmp::Reverse(axis.from));

    // as many of the nearest neighbours as fit into one piece
    let mut span = size as u64;
    let mut n_outer = axes.len();
    while let Some(axis) = n_outer.checked_sub(1).map(|last| &axes[last])
        && span + (axis.len as u64 - 1) * axis.from <= PIECE
    {
        span += (axis.len as u64 - 1) * axis.from;
        n_outer -= 1;
    }
    let (outer, inner) = axes.split_at(n_outer);
    let mut piece = vec![0; span as usize];
    each(outer, 0, 0, &mut |from, start| {
        source.read_at(entry.offset + from, &mut piece)?;
        each(inner, 0, start, &mut |from, to| {
            let from = from as usize;
            out[to..to + size].copy_from_slice(&piece[from..from + size]);
            Ok(())
        })
    })
}

/// Visits every position of the axes, as bytes into the file and into the result.
fn each(
    axes: &[Axis],
    from: u64,
    to: usize,
    visit: &mut dyn FnMut(u64, usize) -> Result<()>,
) -> Result<()> {
    let Some((axis, axes)) = axes.split_first() else { return visit(from, to) };
    for index in 0..axis.len {
        each(axes, from + index as u64 * axis.from, to + index * axis.to, visit)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dtype::Dtype;

    /// Row-major values of a view, straight from its definition.
    fn by_definition(bytes: &[u8], entry: &Entry, strides: &[usize]) -> Vec<u8> {
        let n: usize = entry.shape.iter().product();
        let size = entry.dtype.size();
        let element = |flat: usize| {
            let mut rest = flat;
            let mut at = 0;
            for (len, stride) in entry.shape.iter().zip(strides).rev() {
                at += rest % len * stride;
                rest /= len;
            }
            let start = entry.offset as usize + at * size;
            bytes[start..start + size].to_vec()
        };
        (0..n).flat_map(element).collect()
    }

    fn entry(dtype: Dtype, shape: Vec<usize>, offset: u64) -> Entry {
        let (strides, big_endian) = (None, false);
        let n_bytes = dtype.n_bytes(&shape).unwrap();
        Entry { name: String::new(), dtype, shape, strides, offset, n_bytes, big_endian }
    }

    fn gathered(bytes: &[u8], entry: &Entry, strides: &[usize]) -> Vec<u8> {
        let file = crate::testing::file(bytes);
        let mut out = vec![0; entry.n_bytes as usize];
        gather(&Source::open(file.path()).unwrap(), entry, strides, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn any_view_equals_its_definition(
            dims in prop::collection::vec((0_usize..5, 0_usize..9), 0..5),
            offset in 0_u64..20,
            wide in any::<bool>(),
        ) {
            let bytes: Vec<u8> = (0..2000_u32).map(|n| (n % 251) as u8).collect();
            let dtype = if wide { Dtype::F32 } else { Dtype::U8 };
            let (shape, strides): (Vec<_>, Vec<_>) = dims.into_iter().unzip();
            let entry = entry(dtype, shape, offset);
            let expected = by_definition(&bytes, &entry, &strides);
            prop_assert_eq!(gathered(&bytes, &entry, &strides), expected);
        }
    }

    #[test]
    fn a_view_wider_than_a_piece_is_read_in_pieces() {
        let bytes: Vec<u8> = (0..3 * PIECE).map(|n| (n * 31 % 253) as u8).collect();
        let stride = (PIECE + 5) as usize;
        let entry = entry(Dtype::U8, vec![3, 2], 7);
        let expected = by_definition(&bytes, &entry, &[11, stride]);
        assert_eq!(gathered(&bytes, &entry, &[11, stride]), expected);
    }
}
