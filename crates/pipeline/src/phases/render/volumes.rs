//! Volumes beside the pages: the mean image of a recording whose voxels are read, and the mask they lie in.
use std::fs::File;

use ndarray::{Array3, Axis};
use pages::VolumeFile;
use scan::{ReadOptions, Volume};

use crate::{Result, media::Media};

/// A scan that would take more than this as 32-bit numbers is not read once more for its mean.
const MOST_BYTES: usize = 64 << 20;

/// Where the mask of a run lies, relative to its pages.
pub(super) const MASK: &str = "figures/mask.nii.gz";

/// A file: its path relative to the pages, and what it holds.
pub(super) type VolumeBytes = (String, Vec<u8>);

/// What a page says in place of a mean image whose scan could not be read again.
pub(super) const UNREADABLE: &str =
    "No volume of the mean image: the scan could not be read once more for it.";

/// Bytes that the mean image of a recording of voxels takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MeanBytes {
    /// While the scan is read: all of it, its mean, the mean with fewer digits and the file.
    pub(super) reading: u64,
    /// Until the page is stored: the file, and its copy there.
    pub(super) kept: u64,
}

/// Reckons a mean image; `None` where the scan is not read again for one: of series of parcels, and of a scan that
/// is too large.
pub(super) fn mean_bytes(media: &Media<'_>, idx: usize) -> Option<MeanBytes> {
    let mask = media.voxels.as_ref()?.about.mask.as_ref()?;
    let n_frames = media.quality.get(idx)?.as_ref()?.n_frames;
    let n_voxels: usize = mask.grid_shape().iter().product();
    let is_stacked = media.scans()[idx].stacked.is_some();
    of_grid(n_voxels, n_frames).filter(|_| !is_stacked)
}

/// The scans of mean images that cannot be opened now: pages are drawn anew when they are back.
pub(super) fn away(media: &Media<'_>) -> Vec<usize> {
    let scans = media.scans();
    let is_away =
        |&idx: &usize| mean_bytes(media, idx).is_some() && File::open(&scans[idx].path).is_err();
    (0..scans.len()).filter(is_away).collect()
}

fn of_grid(n_voxels: usize, n_frames: usize) -> Option<MeanBytes> {
    let image = size_of::<f32>().checked_mul(n_voxels)?;
    let whole = image.checked_mul(n_frames).filter(|it| *it <= MOST_BYTES)?;
    Some(MeanBytes { reading: (whole + 3 * image) as u64, kept: 2 * image as u64 })
}

/// The mean over time of a recording of voxels. `None` where [`mean_bytes`] has none.
///
/// # Errors
/// Where the scan cannot be read again.
pub(super) fn mean(media: &Media<'_>, idx: usize) -> Result<Option<VolumeBytes>> {
    if mean_bytes(media, idx).is_none() {
        return Ok(None);
    }
    let scan = &media.scans()[idx];
    let bold = scan::read_bold_with(&scan.path, &ReadOptions { t_r: scan.t_r_s })?;
    let mean = bold.data().mean_axis(Axis(3)).expect("a run has frames");
    // ten bits after the point are more than a screen shows, and take half the room
    let mean = mean.mapv(|x| f32::from_bits(x.to_bits() & !0x1fff));
    let mean = Volume::new(mean, bold.affine().clone())?;
    let path = format!("figures/{}_mean.nii.gz", scan.name);
    let bytes = scan::volume_bytes(&path, &mean)?;
    Ok(Some((path, bytes)))
}

/// The mask of a run whose voxels are read, 1 inside.
pub(super) fn mask(media: &Media<'_>) -> Result<Option<Vec<u8>>> {
    let Some(mask) = media.voxels.as_ref().and_then(|it| it.about.mask.as_ref()) else {
        return Ok(None);
    };
    let mut inside = Array3::<f32>::zeros(mask.grid_shape());
    let values = inside.as_slice_mut().expect("a new array is row-major, as the mask is");
    mask.indices().iter().for_each(|&idx| values[idx] = 1.0);
    Ok(Some(scan::volume_bytes(MASK, &Volume::new(inside, mask.affine().clone())?)?))
}

/// What a page says of the mean image and of the mask over it.
pub(super) fn files((path, _): &VolumeBytes) -> Vec<VolumeFile> {
    let mean = VolumeFile { name: "mean image", path: path.clone(), is_overlay: false };
    let mask = VolumeFile { name: "mask", path: MASK.to_owned(), is_overlay: true };
    vec![mean, mask]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_of_64_mib_is_counted_whole_and_a_larger_one_is_not_read() {
        let image = 4 << 18;
        let expected = MeanBytes { reading: (64 << 20) + 3 * image, kept: 2 * image };
        assert_eq!(of_grid(1 << 18, 64), Some(expected));
        assert_eq!(of_grid(1 << 18, 65), None);
        assert_eq!(of_grid(usize::MAX / 2, 64), None);
    }
}
