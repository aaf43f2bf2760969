//! Volumes beside the pages: the mean image of a recording whose voxels are read, and the mask they lie in.
use ndarray::{Array3, Axis};
use pages::VolumeFile;
use scan::{ReadOptions, Volume};

use crate::{Result, media::Media};

/// A scan that would take more than this as 32-bit numbers is not read once more for its mean: a page is drawn in
/// less than half a second.
const MOST_BYTES: usize = 64 << 20;

/// Where the mask of a run lies, relative to its pages.
pub(super) const MASK: &str = "figures/mask.nii.gz";

/// A file: its path relative to the pages, and what it holds.
pub(super) type VolumeBytes = (String, Vec<u8>);

/// The mean over time of a recording of voxels. `None` for series of parcels, and for a scan too large to be read
/// again.
pub(super) fn mean(media: &Media<'_>, idx: usize, n_frames: usize) -> Result<Option<VolumeBytes>> {
    let Some(mask) = media.voxels.as_ref().and_then(|it| it.about.mask.as_ref()) else {
        return Ok(None);
    };
    let n_voxels: usize = mask.grid_shape().iter().product();
    let scan = &media.scans()[idx];
    if 4 * n_voxels * n_frames > MOST_BYTES || scan.stacked.is_some() {
        return Ok(None);
    }
    let bold = scan::read_bold_with(&scan.path, &ReadOptions { t_r: scan.t_r_s })?;
    let mean = bold.data().mean_axis(Axis(3)).expect("a run has frames");
    // ten bits after the point are more than a screen shows, and take half the room
    let mean = mean.mapv(|x| f32::from_bits(x.to_bits() & !0x1fff));
    let mean = Volume::new(mean, bold.affine().clone())?;
    Ok(scan::volume_bytes(&mean).map(|bytes| (format!("figures/{}_mean.nii.gz", scan.name), bytes)))
}

/// The mask of a run whose voxels are read, 1 inside.
pub(super) fn mask(media: &Media<'_>) -> Result<Option<Vec<u8>>> {
    let Some(mask) = media.voxels.as_ref().and_then(|it| it.about.mask.as_ref()) else {
        return Ok(None);
    };
    let mut inside = Array3::<f32>::zeros(mask.grid_shape());
    let values = inside.as_slice_mut().expect("a new array is row-major, as the mask is");
    mask.indices().iter().for_each(|&idx| values[idx] = 1.0);
    Ok(scan::volume_bytes(&Volume::new(inside, mask.affine().clone())?))
}

/// What a page says of the mean image and of the mask over it.
pub(super) fn files((path, _): &VolumeBytes) -> Vec<VolumeFile> {
    let mean = VolumeFile { name: "mean image", path: path.clone(), is_overlay: false };
    let mask = VolumeFile { name: "mask", path: MASK.to_owned(), is_overlay: true };
    vec![mean, mask]
}
