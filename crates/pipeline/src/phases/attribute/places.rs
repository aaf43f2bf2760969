//! The places and moments that the values of a medium stand for, and what is left when a place is taken away.
use std::ops::Range;

use encoder::{InputShape, Places, TokenLayout, TokenPolicy};
use ndarray::{Array2, ArrayD, ArrayView2, Axis};

/// How tokens lie: those of a medium, or those that an encoder makes of it.
pub(super) type Layout<'a> = (&'a TokenLayout, TokenPolicy);

/// Places by moments `(n_places, n_moments)`: of values `(n_windows, …)` each place's own, added up over channels and
/// widths. A medium's tokens are its places where their `layout` names none.
pub(super) fn of_values(
    values: &ArrayD<f32>,
    input: InputShape,
    layout: Option<Layout<'_>>,
) -> Array2<f32> {
    let n_windows = values.shape()[0];
    match input {
        InputShape::Window { n_frames, n_voxels } => {
            let by_moment = values.to_shape((n_windows * n_frames, n_voxels));
            by_moment.expect("frames of windows").t().to_owned()
        }
        InputShape::Volume { n_frames, grid } => {
            let n: usize = grid.iter().product();
            let by_moment = values.to_shape((n_windows * n_frames, n));
            by_moment.expect("volumes of windows").t().to_owned()
        }
        InputShape::Image { size } => {
            let planes =
                values.to_shape((n_windows * 3, size * size)).expect("planes of a picture");
            planes.sum_axis(Axis(0)).insert_axis(Axis(1))
        }
        InputShape::Columns { n } => {
            let rows =
                values.to_shape((n_windows * 2, n)).expect("values and where they are missing");
            rows.sum_axis(Axis(0)).insert_axis(Axis(1))
        }
        InputShape::Tokens { n_tokens, dim } => {
            let tokens = values.to_shape((n_windows * n_tokens, dim)).expect("tokens of windows");
            let weights = tokens.sum_axis(Axis(1));
            let weights = weights.to_shape((n_windows, n_tokens)).expect("as many");
            of_tokens(weights.view(), layout).unwrap_or_else(|| weights.t().to_owned())
        }
    }
}

/// Places by moments of weights of tokens `(n_windows, n_tokens)`; none where nothing says what tokens stand for.
pub(super) fn of_tokens(
    weights: ArrayView2<'_, f32>,
    layout: Option<Layout<'_>>,
) -> Option<Array2<f32>> {
    let (layout, policy) = layout.filter(|(layout, _)| layout.places != Places::Unnamed)?;
    let (n_places, n_times) = (layout.data_places.len(), layout.data_times.len());
    let mut grid = Array2::zeros((n_places, weights.nrows() * n_times));
    for (window, weights) in weights.rows().into_iter().enumerate() {
        for (place, row) in layout.spread(policy, &weights.to_vec()).into_iter().enumerate() {
            for (time, weight) in row.into_iter().enumerate() {
                grid[[place, window * n_times + time]] = weight;
            }
        }
    }
    Some(grid)
}

/// Places in at most so many parts of neighbours, as even as can be.
pub(super) fn parts(n_places: usize, most: usize) -> Vec<Range<usize>> {
    let n = n_places.min(most);
    (0..n).map(|part| part * n_places / n..(part + 1) * n_places / n).collect()
}

/// A medium without some of its places: each value of theirs is the mean over the window's moments, in a picture over
/// the picture, among tokens, of which `owners` says what each stands for, over the window's tokens; of columns it is the mean over people. None where no token is of these places alone.
pub(super) fn without(
    medium: &ArrayD<f32>,
    input: InputShape,
    owners: &[Option<usize>],
    places: &Range<usize>,
) -> Option<ArrayD<f32>> {
    let mut changed = medium.clone();
    let windows = |n: usize| medium.len() / n;
    match input {
        InputShape::Window { n_frames, n_voxels } => {
            flatten(&mut changed, n_frames, n_voxels, places);
        }
        InputShape::Volume { n_frames, grid } => {
            flatten(&mut changed, n_frames, grid.iter().product(), places);
        }
        InputShape::Image { size } => {
            let shape = (windows(size * size), size * size);
            let mut planes = changed.view_mut().into_shape_with_order(shape).expect("its planes");
            for mut plane in planes.outer_iter_mut() {
                let mean = plane.mean().expect("a picture has pixels");
                places.clone().for_each(|place| plane[place] = mean);
            }
        }
        InputShape::Columns { n } => {
            // of standardised columns it is 0, and not missing
            let mut rows =
                changed.view_mut().into_shape_with_order((windows(n), n)).expect("its rows");
            places.clone().for_each(|column| rows.column_mut(column).fill(0.));
        }
        InputShape::Tokens { n_tokens, dim } => {
            let is_of = |token: &usize| owners[*token].is_some_and(|it| places.contains(&it));
            let own: Vec<usize> = (0..n_tokens).filter(is_of).collect();
            if own.is_empty() {
                return None;
            }
            let shape = (windows(n_tokens * dim), n_tokens, dim);
            let mut values = changed.view_mut().into_shape_with_order(shape).expect("its tokens");
            for mut window in values.outer_iter_mut() {
                let mean = window.mean_axis(Axis(0)).expect("a window has tokens");
                own.iter().for_each(|&token| window.row_mut(token).assign(&mean));
            }
        }
    }
    Some(changed)
}

/// Puts the mean over the frames of a window in the place of these of its `n` values.
fn flatten(medium: &mut ArrayD<f32>, n_frames: usize, n: usize, places: &Range<usize>) {
    let shape = (medium.len() / (n_frames * n), n_frames, n);
    let mut values = medium.view_mut().into_shape_with_order(shape).expect("windows of frames");
    for mut window in values.outer_iter_mut() {
        let mean = window.mean_axis(Axis(0)).expect("a window has frames");
        for mut frame in window.outer_iter_mut() {
            places.clone().for_each(|place| frame[place] = mean[place]);
        }
    }
}

/// For each token of a window the place that it stands for alone; none where it stands for several, or for none. Nothing
/// where a medium has no tokens.
pub(super) fn owners(input: InputShape, layout: Option<Layout<'_>>) -> Vec<Option<usize>> {
    let InputShape::Tokens { n_tokens, .. } = input else { return Vec::new() };
    let Some((layout, policy)) = layout.filter(|(it, _)| it.places != Places::Unnamed) else {
        return (0..n_tokens).map(Some).collect();
    };
    let mut one = vec![0.; n_tokens];
    let mut owner = |token: usize| {
        one[token] = 1.;
        let spread = layout.spread(policy, &one);
        one[token] = 0.;
        let reads = |(_, row): &(usize, &Vec<f32>)| row.iter().any(|it| *it > 0.);
        let mut read = spread.iter().enumerate().filter(reads).map(|(place, _)| place);
        read.next().filter(|_| read.next().is_none())
    };
    (0..n_tokens).map(&mut owner).collect()
}

#[cfg(test)]
mod tests {
    use encoder::TokenOrder;
    use ndarray::IxDyn;

    use super::*;

    fn counting(shape: &[usize]) -> ArrayD<f32> {
        let n = shape.iter().product::<usize>();
        ArrayD::from_shape_vec(IxDyn(shape), (0..n).map(|at| at as f32).collect()).unwrap()
    }

    #[test]
    fn values_are_told_by_place_and_moment() {
        let window = InputShape::Window { n_frames: 2, n_voxels: 3 };
        let of = of_values(&counting(&[2, 2, 3]), window, None);
        assert_eq!(of.row(1).to_vec(), [1., 4., 7., 10.]);
        let picture = of_values(&counting(&[1, 3, 2, 2]), InputShape::Image { size: 2 }, None);
        assert_eq!(picture.column(0).to_vec(), [12., 15., 18., 21.]);
        // two parcels by two times, in the order of times, of two numbers each
        let layout = TokenLayout::grid(Places::Parcels, 2, 2, TokenOrder::TimeMajor).with_class();
        let columns = of_values(&counting(&[1, 2, 3]), InputShape::Columns { n: 3 }, None);
        assert_eq!(columns.column(0).to_vec(), [3., 5., 7.]);
        let tokens = InputShape::Tokens { n_tokens: 5, dim: 2 };
        let values = counting(&[1, 5, 2]);
        let of = of_values(&values, tokens, Some((&layout, TokenPolicy::All)));
        assert_eq!(of, ndarray::array![[5., 13.], [9., 17.]]);
        let of = of_values(&values, tokens, None);
        assert_eq!(of.column(0).to_vec(), [1., 5., 9., 13., 17.]);
    }

    #[test]
    fn what_is_taken_away_is_its_mean_and_the_rest_stays() {
        assert_eq!(parts(5, 2), [0..2, 2..5]);
        assert_eq!(parts(2, 9), [0..1, 1..2]);
        let window = InputShape::Window { n_frames: 2, n_voxels: 3 };
        let without = |medium: &ArrayD<f32>, input, layout, places| {
            let owners = owners(input, layout);
            super::without(medium, input, &owners, &places).map(|it| it.into_raw_vec_and_offset().0)
        };
        let found = without(&counting(&[2, 2, 3]), window, None, 1..2).unwrap();
        assert_eq!(found, [0., 2.5, 2., 3., 2.5, 5., 6., 8.5, 8., 9., 8.5, 11.]);
        let volume = InputShape::Volume { n_frames: 2, grid: [1, 1, 3] };
        assert_eq!(without(&counting(&[2, 2, 1, 1, 3]), volume, None, 1..2).unwrap(), found);
        let picture = InputShape::Image { size: 2 };
        let found = without(&counting(&[3, 2, 2]), picture, None, 3..4).unwrap();
        assert_eq!(found[..8], [0., 1., 2., 1.5, 4., 5., 6., 5.5]);

        let columns = InputShape::Columns { n: 3 };
        let found = without(&counting(&[2, 3]), columns, None, 1..2).unwrap();
        assert_eq!(found, [0., 0., 2., 3., 0., 5.]);

        let layout = TokenLayout::grid(Places::Parcels, 2, 2, TokenOrder::PlaceMajor);
        let tokens = InputShape::Tokens { n_tokens: 4, dim: 1 };
        let all = Some((&layout, TokenPolicy::All));
        assert_eq!(without(&counting(&[4, 1]), tokens, all, 1..2).unwrap(), [0., 1., 1.5, 1.5]);
        let mean = Some((&layout, TokenPolicy::Mean));
        let one = InputShape::Tokens { n_tokens: 1, dim: 1 };
        assert_eq!(without(&counting(&[1, 1]), one, mean, 1..2), None);
    }
}
