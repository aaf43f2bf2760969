//! Which numbers of a file are frames and which are vertices, by their counts.

use super::{gifti::Gifti, stored::Array};
use crate::{tables::SeriesAxes, xml::Parsed};

/// So many vertices has every mesh that is not one of [`MESHES`], and no run so many frames.
const MANY: usize = 10_000;

/// Coarse meshes of the field: fsaverage3 and 4, and `fs_LR` of 4,000 and 8,000 vertices.
const MESHES: [usize; 4] = [642, 2562, 4002, 7842];

/// How series are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// An array for each frame.
    Frames { n_vertices: usize, n_frames: usize },
    /// One array: vertices along its first axis, or along its second.
    One { n_vertices: usize, n_frames: usize, is_vertex_first: bool },
    /// One array of these sizes, either of which may be time.
    Open([usize; 2]),
}

impl Layout {
    /// Of a file whose arrays are maps of vertices.
    pub(super) fn of(file: &Gifti) -> Parsed<Self> {
        let arrays = &file.arrays;
        let Some(first) = arrays.first() else {
            return Err("it holds no array, expected one for each frame".to_owned());
        };
        if let Some((index, problem)) =
            arrays.iter().enumerate().find_map(|(index, array)| Some((index, no_map(array)?)))
        {
            return Err(format!("its array {} is {problem}, expected a time series", index + 1));
        }
        if let [rows, columns] = first.sizes()[..]
            && arrays.len() == 1
        {
            return Ok(Self::told([rows, columns]));
        }
        let [n_vertices] = first.sizes()[..] else { return Err(axes(0, first)) };
        for (index, array) in arrays.iter().enumerate() {
            match array.sizes()[..] {
                [found] if found == n_vertices => {}
                [found] => {
                    let place = index + 1;
                    return Err(format!(
                        "its array {place} has {found} vertices, its first {n_vertices}"
                    ));
                }
                _ => return Err(axes(index, array)),
            }
        }
        Ok(Self::Frames { n_vertices, n_frames: arrays.len() })
    }

    fn told([rows, columns]: [usize; 2]) -> Self {
        let is_surface = |n: usize| n >= MANY;
        let told = match (is_surface(rows), is_surface(columns)) {
            (false, false) => [rows, columns].map(|n| MESHES.contains(&n)),
            (first, second) => [first, second],
        };
        let open = Self::Open([rows, columns]);
        match told {
            [true, false] => open.read(true),
            [false, true] => open.read(false),
            _ => open,
        }
    }

    /// An array of two axes, its vertices along the first or the second.
    fn read(self, is_vertex_first: bool) -> Self {
        let Self::Open([rows, columns]) = self else { return self };
        let (n_vertices, n_frames) =
            if is_vertex_first { (rows, columns) } else { (columns, rows) };
        Self::One { n_vertices, n_frames, is_vertex_first }
    }

    /// With what the user says of an array whose counts leave it open.
    pub(super) fn with(self, axes: Option<SeriesAxes>) -> Self {
        match axes {
            Some(SeriesAxes::TimeParcels) => self.read(false),
            Some(SeriesAxes::ParcelsTime) => self.read(true),
            _ => self,
        }
    }

    /// Two hemispheres have as many frames; meshes of their own that differ tell which axis that is.
    pub(super) fn joined(left: Self, right: Self) -> [Self; 2] {
        let (Self::Open(a), Self::Open(b)) = (left, right) else { return [left, right] };
        match (a[0] == b[0], a[1] == b[1]) {
            (true, false) => [left, right].map(|it| it.read(false)),
            (false, true) => [left, right].map(|it| it.read(true)),
            _ => [left, right],
        }
    }

    pub(super) fn n_vertices(self) -> usize {
        match self {
            Self::Frames { n_vertices, .. } | Self::One { n_vertices, .. } => n_vertices,
            Self::Open([rows, _]) => rows,
        }
    }

    pub(super) fn n_frames(self) -> usize {
        match self {
            Self::Frames { n_frames, .. } | Self::One { n_frames, .. } => n_frames,
            Self::Open([_, columns]) => columns,
        }
    }
}

fn axes(index: usize, array: &Array) -> String {
    let sizes = array.sizes();
    format!("its array {} has the sizes {sizes:?}, expected one number for each vertex", index + 1)
}

/// What an array is that holds no values of vertices.
fn no_map(array: &Array) -> Option<&'static str> {
    Some(match array.intent.as_str() {
        "NIFTI_INTENT_POINTSET" | "NIFTI_INTENT_TRIANGLE" => "part of a surface's shape",
        "NIFTI_INTENT_LABEL" => "a map of labels",
        "NIFTI_INTENT_SHAPE" => "a map of a surface's shape",
        "NIFTI_INTENT_NODE_INDEX" => "a list of some vertices",
        "NIFTI_INTENT_VECTOR" | "NIFTI_INTENT_GENMATRIX" => "a map of vectors",
        "NIFTI_INTENT_RGB_VECTOR" | "NIFTI_INTENT_RGBA_VECTOR" => "a map of colours",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tell_vertices_from_frames_or_leave_it_open() {
        let one = |n_vertices, n_frames, is_vertex_first| Layout::One {
            n_vertices,
            n_frames,
            is_vertex_first,
        };
        assert_eq!(Layout::told([10_242, 652]), one(10_242, 652, true));
        assert_eq!(Layout::told([1200, 32_492]), one(32_492, 1200, false));
        assert_eq!(Layout::told([10_242, 642]), one(10_242, 642, true));
        assert_eq!(Layout::told([642, 1200]), one(642, 1200, true));
        for sizes in [[5, 10], [300, 300], [642, 2562], [10_242, 32_492]] {
            assert_eq!(Layout::told(sizes), Layout::Open(sizes));
        }
        let open = Layout::told([5, 10]);
        assert_eq!(open.with(Some(SeriesAxes::TimeParcels)), one(10, 5, false));
        assert_eq!(open.with(Some(SeriesAxes::ParcelsTime)), one(5, 10, true));
        assert_eq!(open.with(Some(SeriesAxes::ByParcels(5))), open);
        // what the counts tell, nobody has to say
        assert_eq!(
            one(10_242, 652, true).with(Some(SeriesAxes::TimeParcels)),
            one(10_242, 652, true)
        );
    }

    #[test]
    fn meshes_that_differ_tell_which_axis_both_hemispheres_share() {
        let joined = |a, b| Layout::joined(Layout::Open(a), Layout::Open(b));
        let [left, right] = joined([8, 5], [9, 5]);
        assert_eq!([left.n_vertices(), right.n_vertices(), left.n_frames()], [8, 9, 5]);
        let [left, right] = joined([5, 8], [5, 9]);
        assert_eq!([left.n_vertices(), right.n_vertices(), right.n_frames()], [8, 9, 5]);
        assert_eq!(joined([5, 8], [5, 8]), [Layout::Open([5, 8]); 2]);
    }
}
