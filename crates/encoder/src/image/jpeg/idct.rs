//! Coefficients to samples: the inverse cosine transform that libjpeg rounds as no other does.
//!
//! Loeffler, Ligtenberg and Moschytz 1989, 12 multiplications a line, in fixed point of 13 bits,
//! columns first and kept with 2 more bits for the rows. Source for what is rounded and where:
//! `jidctint.c` of libjpeg-turbo; its vector form narrows the columns' results to 16 bits.

use super::frame::{Block, Component};

/// Fraction bits of a constant.
const PRECISION: u32 = 13;

/// Fraction bits that the columns' results keep.
const KEPT: u32 = 2;

/// Samples of a component, row by row; wider than the component where blocks go beyond it.
pub(super) struct Plane {
    pub(super) samples: Vec<u8>,
    pub(super) n_row: usize,
}

/// All blocks of a component; needs its quantisation steps.
pub(super) fn plane(component: &Component, steps: &[u16; 64]) -> Plane {
    let n_row = component.n_across * 8;
    let mut samples = vec![0; component.blocks.len() * 64];
    for (index, block) in component.blocks.iter().enumerate() {
        let (row, column) = (index / component.n_across, index % component.n_across);
        let corner = row * 8 * n_row + column * 8;
        for (y, line) in inverse(block, steps).iter().enumerate() {
            samples[corner + y * n_row..][..8].copy_from_slice(line);
        }
    }
    Plane { samples, n_row }
}

fn inverse(block: &Block, steps: &[u16; 64]) -> [[u8; 8]; 8] {
    let mut lines = [[0; 8]; 8];
    for x in 0..8 {
        // 64 bits, so that no damaged file can overflow them.
        let column =
            std::array::from_fn(|y| i64::from(block[y * 8 + x]) * i64::from(steps[y * 8 + x]));
        for (y, value) in transformed(column, PRECISION - KEPT).into_iter().enumerate() {
            lines[y][x] = value.clamp(i16::MIN.into(), i16::MAX.into());
        }
    }
    lines.map(|line| transformed(line, PRECISION + KEPT + 3).map(|v| (v + 128).clamp(0, 255) as u8))
}

/// `x` in the fixed point of the constants.
const fn fixed(x: f64) -> i64 {
    (x * (1 << PRECISION) as f64 + 0.5) as i64
}

/// One line, its results rounded by `shift` bits.
fn transformed(c: [i64; 8], shift: u32) -> [i64; 8] {
    // even part: a rotation by π/8 and a butterfly
    let turned = (c[2] + c[6]) * fixed(0.541_196_100);
    let (low, high) = (turned - c[6] * fixed(1.847_759_065), turned + c[2] * fixed(0.765_366_865));
    let (sum, difference) = ((c[0] + c[4]) << PRECISION, (c[0] - c[4]) << PRECISION);
    let even = [sum + high, difference + low, difference - low, sum - high];

    // odd part: figure 1 of the paper, inverted
    let z1 = -(c[7] + c[1]) * fixed(0.899_976_223);
    let z2 = -(c[5] + c[3]) * fixed(2.562_915_447);
    let z5 = (c[7] + c[3] + c[5] + c[1]) * fixed(1.175_875_602);
    let z3 = z5 - (c[7] + c[3]) * fixed(1.961_570_560);
    let z4 = z5 - (c[5] + c[1]) * fixed(0.390_180_644);
    let odd = [
        c[1] * fixed(1.501_321_110) + z1 + z4,
        c[3] * fixed(3.072_711_026) + z2 + z3,
        c[5] * fixed(2.053_119_869) + z2 + z4,
        c[7] * fixed(0.298_631_336) + z1 + z3,
    ];

    let rounded = |v: i64| (v + (1 << (shift - 1))) >> shift;
    std::array::from_fn(|i| {
        if i < 4 { rounded(even[i] + odd[i]) } else { rounded(even[7 - i] - odd[7 - i]) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T.81, A.3.3, in `f64`.
    fn by_definition(block: &Block) -> [[f64; 8]; 8] {
        let basis = |i: usize, k: usize| {
            let scale = if k == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1. };
            scale * ((2 * i + 1) as f64 * k as f64 * std::f64::consts::PI / 16.).cos() / 2.
        };
        std::array::from_fn(|y| {
            std::array::from_fn(|x| {
                let terms = block
                    .iter()
                    .enumerate()
                    .map(|(at, &c)| f64::from(c) * basis(y, at / 8) * basis(x, at % 8));
                terms.sum::<f64>() + 128.
            })
        })
    }

    #[test]
    fn the_transform_is_the_standards_within_rounding() {
        let mut state = 1u32;
        for _ in 0..200 {
            let mut block = [0; 64];
            for (at, value) in block.iter_mut().enumerate() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *value = (state >> 16) as i16 / (64 + 32 * at as i16);
            }
            let exact = by_definition(&block);
            for (line, want) in inverse(&block, &[1; 64]).iter().zip(exact) {
                for (&found, want) in line.iter().zip(want) {
                    let gap = (f64::from(found) - want.clamp(0., 255.)).abs();
                    assert!(gap < 0.6, "{found} is not {want}");
                }
            }
        }
    }

    #[test]
    fn the_largest_coefficients_of_a_damaged_file_do_not_overflow() {
        // every basis function is positive at the first sample
        for (extreme, expected) in [(i16::MIN, 0), (i16::MAX, 255)] {
            let lines = inverse(&[extreme; 64], &[u16::MAX; 64]);
            assert_eq!(lines[0][0], expected);
        }
    }
}
