//! Values of places as images on the grid of the scans.
use std::collections::BTreeMap;

use ndarray::Array3;
use scan::{Atlas, Volume, VoxelMask};

use crate::{Result, media::Media, stage::Stage};

/// Where places lie on a grid.
pub(super) enum Grid<'a> {
    /// They are the voxels of a mask.
    Mask(&'a VoxelMask),
    /// They are parcels with these labels, in this order.
    Parcels(Box<Atlas>, Vec<i32>),
}

impl<'a> Grid<'a> {
    /// That of the series of a run, where their places have one.
    pub(super) fn of(media: &'a Media<'_>) -> Result<Option<Self>> {
        if let Some(mask) = media.voxels.as_ref().and_then(|it| it.about.mask.as_ref()) {
            return Ok(Some(Self::Mask(mask)));
        }
        let Some(parcels) = &media.parcels else { return Ok(None) };
        for step in media.plan.spec().stages().iter().filter_map(Stage::step) {
            if let Some(atlas) = step.labels_image(&|path| media.place(path))? {
                let labels = parcels.about.parcels.iter().map(|it| it.label).collect();
                return Ok(Some(Self::Parcels(Box::new(atlas), labels)));
            }
        }
        Ok(None)
    }

    /// Places that it has.
    pub(super) fn n_places(&self) -> usize {
        match self {
            Self::Mask(mask) => mask.n_voxels(),
            Self::Parcels(_, labels) => labels.len(),
        }
    }

    /// An image of these values, 0 where there is no place.
    pub(super) fn image(&self, values: &[f64]) -> Result<Volume> {
        let values = values.iter().map(|it| *it as f32);
        match self {
            Self::Mask(mask) => {
                let [x, y, z] = mask.grid_shape();
                let mut data = vec![0f32; x * y * z];
                mask.indices().iter().zip(values).for_each(|(&at, value)| data[at] = value);
                let data = Array3::from_shape_vec((x, y, z), data).expect("a value a voxel");
                Ok(Volume::new(data, mask.affine().clone())?)
            }
            Self::Parcels(atlas, labels) => {
                let of_label: BTreeMap<i32, f32> = labels.iter().copied().zip(values).collect();
                let [x, y, z] = atlas.grid().shape;
                let value = |label: &i32| of_label.get(label).copied().unwrap_or(0.);
                // labels lie with x fastest
                let data: Vec<f32> = atlas.labels().iter().map(value).collect();
                let data = Array3::from_shape_vec((z, y, x), data).expect("a label a voxel");
                Ok(Volume::new(data.reversed_axes(), atlas.grid().affine.clone())?)
            }
        }
    }
}
