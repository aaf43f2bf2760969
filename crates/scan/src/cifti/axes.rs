//! What the rows and the columns of a CIFTI matrix are.

use std::collections::BTreeMap;

/// One side of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub enum CiftiAxis {
    /// Points at equal steps.
    Series(SeriesAxis),
    /// Places of the cortex and voxels.
    BrainModels(BrainModelsAxis),
    /// Regions.
    Parcels(Vec<CiftiParcel>),
    /// Named maps of numbers.
    Scalars(Vec<String>),
    /// Named maps of labels.
    Labels(Vec<LabelMap>),
}

/// Points at equal steps; seconds where the unit is `SECOND`.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesAxis {
    /// The first point.
    pub start: f64,
    /// From one to the next.
    pub step: f64,
    /// `SECOND`, `HERTZ`, `METER` or `RADIAN`.
    pub unit: String,
    /// Number of points.
    pub n_points: usize,
}

/// Places in the order of the matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct BrainModelsAxis {
    /// Structures, one after the other.
    pub models: Vec<BrainModel>,
    /// The grid that voxels index.
    pub volume: Option<CiftiVolume>,
}

/// One structure.
#[derive(Clone, Debug, PartialEq)]
pub struct BrainModel {
    /// `CIFTI_STRUCTURE_CORTEX_LEFT`, …
    pub structure: String,
    /// Position of its first place along the axis.
    pub offset: usize,
    /// Where it has values.
    pub places: Places,
}

/// Where a structure has values.
#[derive(Clone, Debug, PartialEq)]
pub enum Places {
    /// Vertices of a surface.
    Vertices {
        /// Their numbers.
        vertices: Vec<usize>,
        /// How many the surface has.
        n_surface: usize,
    },
    /// Voxels of the volume.
    Voxels(Vec<[usize; 3]>),
}

/// The grid that voxels index.
#[derive(Clone, Debug, PartialEq)]
pub struct CiftiVolume {
    /// Voxels along each axis.
    pub shape: [usize; 3],
    /// Rows of the voxel-to-mm matrix, as stored.
    pub affine: [[f64; 4]; 4],
}

/// One region.
#[derive(Clone, Debug, PartialEq)]
pub struct CiftiParcel {
    /// Its name.
    pub name: String,
    /// Vertices by structure.
    pub vertices: Vec<(String, Vec<usize>)>,
    /// Voxels of the volume.
    pub voxels: Vec<[usize; 3]>,
}

/// One map of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelMap {
    /// Its name.
    pub name: String,
    /// What the numbers mean.
    pub labels: BTreeMap<i32, String>,
}

impl Places {
    /// Number of places.
    pub fn n_places(&self) -> usize {
        match self {
            Self::Vertices { vertices, .. } => vertices.len(),
            Self::Voxels(voxels) => voxels.len(),
        }
    }
}

impl CiftiVolume {
    /// Whether the voxels of both are the same ones, within the digits of text.
    pub fn matches(&self, other: &Self) -> bool {
        let mut entries = self.affine.as_flattened().iter().zip(other.affine.as_flattened());
        self.shape == other.shape && entries.all(|(a, b)| (a - b).abs() <= 1e-3)
    }
}

impl BrainModelsAxis {
    /// The structures that are surfaces, and how many vertices the mesh of each has.
    pub fn meshes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.models.iter().filter_map(|model| match model.places {
            Places::Vertices { n_surface, .. } => Some((model.structure.as_str(), n_surface)),
            Places::Voxels(_) => None,
        })
    }

    /// Structure and place of every position of the axis.
    pub fn places(&self) -> impl Iterator<Item = (&str, Place)> {
        self.models.iter().flat_map(|model| {
            let n = model.places.n_places();
            (0..n).map(|i| match &model.places {
                Places::Vertices { vertices, .. } => {
                    (model.structure.as_str(), Place::Vertex(vertices[i]))
                }
                Places::Voxels(voxels) => (model.structure.as_str(), Place::Voxel(voxels[i])),
            })
        })
    }
}

/// One place of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A vertex of its surface.
    Vertex(usize),
    /// A voxel of the volume.
    Voxel([usize; 3]),
}

impl CiftiAxis {
    /// Number of rows or columns.
    pub fn n_positions(&self) -> usize {
        match self {
            Self::Series(series) => series.n_points,
            Self::BrainModels(axis) => {
                axis.models.iter().map(|model| model.places.n_places()).sum()
            }
            Self::Parcels(parcels) => parcels.len(),
            Self::Scalars(names) => names.len(),
            Self::Labels(maps) => maps.len(),
        }
    }
}
