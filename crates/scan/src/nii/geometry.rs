//! Where a grid lies in the world, as nibabel decides it: sform, else qform, else the zooms alone.
//!
//! Source: nifti1.h, methods 1 to 3, <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>.

use nalgebra::{Quaternion, UnitQuaternion};
use serde::Serialize;

use super::{header::Header, raw::Format};

/// The header fields an affine was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AffineSource {
    /// `srow_x`, `srow_y`, `srow_z`.
    Sform,
    /// The quaternion and its offset.
    Qform,
    /// Direction cosines, zooms and centre of an MGH header.
    MghCosines,
    /// An MGH header without them: `FreeSurfer` takes voxels of 1 mm, coronal, centred at the origin.
    MghDefault,
    /// Neither is set: voxel sizes, grid centre at the origin, first axis to the left.
    Zooms,
}

/// The affine and its origin; not yet checked to be finite and invertible.
pub(crate) fn affine_rows(header: &Header) -> ([[f64; 4]; 4], AffineSource) {
    let last = [0.0, 0.0, 0.0, 1.0];
    if header.format == Format::Mgh {
        let [x, y, z] = header.srow;
        let is_good = header.sform_code > 0;
        let source = if is_good { AffineSource::MghCosines } else { AffineSource::MghDefault };
        ([x, y, z, last], source)
    } else if header.sform_code > 0 {
        let [x, y, z] = header.srow;
        ([x, y, z, last], AffineSource::Sform)
    } else if header.qform_code > 0 {
        let [x, y, z] = qform(header);
        ([x, y, z, last], AffineSource::Qform)
    } else {
        let [x, y, z] = zooms_only(header);
        ([x, y, z, last], AffineSource::Zooms)
    }
}

/// Whether sform and qform are both set, and one is the mirror image of the other.
pub(crate) fn sides_disagree(header: &Header) -> bool {
    let sign = |[x, y, z]: [[f64; 4]; 3]| {
        let minor = |j: usize, k: usize| y[j] * z[k] - y[k] * z[j];
        x[0] * minor(1, 2) - x[1] * minor(0, 2) + x[2] * minor(0, 1)
    };
    let both = header.sform_code > 0 && header.qform_code > 0;
    both && sign(header.srow) * sign(qform(header)) < 0.0
}

/// Sizes have no sign: a negative one is read as nibabel reads it.
fn zooms(header: &Header) -> [f64; 3] {
    [1, 2, 3].map(|axis| header.pixdim[axis].abs())
}

fn qform(header: &Header) -> [[f64; 4]; 3] {
    let [b, c, d] = header.quatern;
    let rest = 1.0 - (b * b + c * c + d * d);
    // Quaternions are stored in 32 bits: half turns leave a rest of about −1e-7. More is no turn.
    let a = if rest > -1e-6 { rest.max(0.0).sqrt() } else { f64::NAN };
    let turn = UnitQuaternion::new_normalize(Quaternion::new(a, b, c, d)).to_rotation_matrix();
    // Zero counts as +1: many writers leave it empty.
    let qfac = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [x, y, z] = zooms(header);
    let scale = [x, y, z * qfac];
    std::array::from_fn(|i| {
        std::array::from_fn(|j| if j == 3 { header.qoffset[i] } else { turn[(i, j)] * scale[j] })
    })
}

fn zooms_only(header: &Header) -> [[f64; 4]; 3] {
    let zooms = zooms(header);
    let sign = [-1.0, 1.0, 1.0];
    let size = |axis: usize| header.dims.get(axis).copied().unwrap_or(1) as f64;
    std::array::from_fn(|i| {
        let step = sign[i] * zooms[i];
        std::array::from_fn(|j| match j {
            3 => -step * (size(i) - 1.0) / 2.0,
            _ if i == j => step,
            _ => 0.0,
        })
    })
}
