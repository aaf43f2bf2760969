//! The carpet plot: each parcel's series as a row of grey, under traces of motion and of the signal as a
//! whole.
//!
//! Source: Power, "A simple but useful way to assess fMRI scan qualities", `NeuroImage` 154 (2017).

use super::canvas::{Anchor, Axes, Canvas, Svg};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::{colour, curves::Curves, picture::Picture};

/// Standard deviations from black to white lie this far on both sides of the mean.
const LIMIT: f64 = 2.0;

/// Most pixels in a row and rows of pixels; longer scans and finer atlases are averaged.
const MOST: [usize; 2] = [760, 240];

/// A series ready to be drawn.
#[derive(Clone, Debug)]
pub struct Carpet<'a> {
    /// `(n_frames, n_parcels)`, in the units of the scan.
    pub series: ArrayView2<'a, f64>,
    /// The rows of the carpet from the top: indices of parcels.
    pub order: &'a [usize],
    /// Seconds between two frames.
    pub t_r_s: f64,
    /// Framewise displacement in mm of each frame, NaN where it has none; absent where nothing says it.
    pub fd_mm: Option<ArrayView1<'a, f64>>,
    /// What the rows are: parcels or voxels.
    pub what: &'static str,
}

impl Carpet<'_> {
    /// Each parcel's series less its mean, in its standard deviations `(n_parcels, n_frames)`, in order;
    /// NaN for a parcel that does not vary.
    fn standardised(&self) -> Array2<f64> {
        let mut rows = Array2::zeros((self.order.len(), self.series.nrows()));
        for (mut row, &parcel) in rows.rows_mut().into_iter().zip(self.order) {
            let series = self.series.column(parcel);
            let mean = series.mean().unwrap_or_default();
            let deviation = series.std(0.0);
            row.assign(&series.mapv(|x| (x - mean) / deviation));
            if deviation <= f64::EPSILON * mean.abs() {
                row.fill(f64::NAN);
            }
        }
        rows
    }

    /// Grey from two standard deviations below a parcel's mean to two above it; time goes to the right.
    pub fn picture(&self) -> Picture {
        let rows = self.standardised();
        let [most_columns, most_rows] = MOST;
        let (height, width) = (rows.nrows().min(most_rows), rows.ncols().min(most_columns));
        let part = |n: usize, of: usize, idx: usize| {
            let start = idx * n / of;
            start..((idx + 1) * n / of).max(start + 1)
        };
        Picture::of(height, width, |row, column| {
            let block = rows.slice(ndarray::s![
                part(rows.nrows(), height, row),
                part(rows.ncols(), width, column)
            ]);
            colour::grey(mean(block.iter().copied()), LIMIT)
        })
    }

    /// The traces above the picture: what each is, and a value a frame.
    fn traces(&self) -> Vec<(&'static str, &'static str, Array1<f64>)> {
        let fd_mm = self.fd_mm.map(|it| ("displacement (mm)", "mark", it.to_owned()));
        let signal = [
            ("DVARS (SD)", "line", self.dvars()),
            ("global signal (SD)", "line", self.global_signal()),
        ];
        fd_mm.into_iter().chain(signal).collect()
    }

    /// The traces as numbers over time.
    pub fn curves(&self) -> Curves {
        let n_frames = self.series.nrows();
        let line =
            |(name, _, values): (&str, &str, Array1<f64>)| (name.to_owned(), values.to_vec());
        Curves {
            x: "time (s)",
            at: (0..n_frames).map(|it| it as f64 * self.t_r_s).collect(),
            lines: self.traces().into_iter().map(line).collect(),
            are_points: false,
        }
    }

    /// The mean over parcels of the standardised series: the global signal of the parcels.
    pub fn global_signal(&self) -> Array1<f64> {
        let rows = self.standardised();
        rows.axis_iter(Axis(1)).map(|frame| mean(frame.iter().copied())).collect()
    }

    /// The root mean square over parcels of the change from the frame before, in standard deviations;
    /// NaN for the first frame.
    pub fn dvars(&self) -> Array1<f64> {
        let rows = self.standardised();
        let of = |frame: usize| {
            let Some(before) = frame.checked_sub(1) else { return f64::NAN };
            let changes = &rows.column(frame) - &rows.column(before);
            mean(changes.iter().map(|change| change * change)).sqrt()
        };
        (0..rows.ncols()).map(of).collect()
    }
}

/// The mean of those that are numbers; NaN of none.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let numbers = values.filter(|x| x.is_finite());
    let (sum, n) = numbers.fold((0.0, 0), |(sum, n), x| (sum + x, n + 1));
    if n == 0 { f64::NAN } else { sum / f64::from(n) }
}

/// The carpet under its traces, as one SVG.
pub fn carpet(carpet: &Carpet<'_>) -> Svg {
    const WIDTH: f64 = 760.0;
    const TRACE: f64 = 54.0;
    const HEIGHT: f64 = 240.0;
    let n_frames = carpet.series.nrows();
    let seconds = (n_frames as f64 * carpet.t_r_s).max(f64::MIN_POSITIVE);
    let traces = carpet.traces();
    let top = 30.0 + traces.len() as f64 * (TRACE + 34.0);
    let title = format!(
        "Carpet plot of {} {} over {n_frames} frames of {} s, with {} above it",
        carpet.order.len(),
        carpet.what,
        carpet.t_r_s as f32,
        traces.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
    );
    let mut canvas = Canvas::new(WIDTH + 80.0, top + HEIGHT + 50.0, &title);
    for (idx, (name, class, values)) in traces.iter().enumerate() {
        let above = 30.0 + idx as f64 * (TRACE + 34.0);
        trace(&mut canvas, [60.0, above, 60.0 + WIDTH, above + TRACE], (name, class), values);
    }
    let axes = Axes {
        edges: [60.0, top, 60.0 + WIDTH, top + HEIGHT],
        x: (0.0, seconds),
        y: (carpet.order.len() as f64, 0.0),
    };
    axes.draw(&mut canvas, "seconds", carpet.what);
    canvas.push(format_args!(
        "<image x=\"60\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         preserveAspectRatio=\"none\" class=\"pixels\" href=\"{}\"/>",
        carpet.picture().data_url()
    ));
    canvas.finish()
}

/// A line of numbers over frames with its greatest value; gaps where there are none.
fn trace(canvas: &mut Canvas, edges: [f64; 4], (name, class): (&str, &str), values: &Array1<f64>) {
    let [left, top, right, bottom] = edges;
    let finite = || values.iter().copied().filter(|x| x.is_finite());
    let (low, high) = (
        finite().fold(f64::INFINITY, f64::min).min(0.0),
        finite().fold(f64::NEG_INFINITY, f64::max),
    );
    canvas.text((left, top - 8.0), Anchor::Start, "", name);
    canvas.line("axis", (left, bottom), (right, bottom));
    if !high.is_finite() {
        return;
    }
    let high = if high > low { high } else { low + 1.0 };
    canvas.text((left - 6.0, top + 8.0), Anchor::End, "soft", &format!("{high:.2}"));
    canvas.text((left - 6.0, bottom), Anchor::End, "soft", &format!("{low:.2}"));
    let axes = Axes { edges, x: (0.0, values.len() as f64), y: (low, high) };
    let mut piece = Vec::new();
    for (frame, &value) in values.iter().enumerate() {
        if value.is_finite() {
            piece.push(axes.at(frame as f64 + 0.5, value));
        } else if !piece.is_empty() {
            canvas.path(class, &std::mem::take(&mut piece));
        }
    }
    canvas.path(class, &piece);
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn example(series: &Array2<f64>) -> Carpet<'_> {
        Carpet { series: series.view(), order: &[1, 0], t_r_s: 2.0, fd_mm: None, what: "parcels" }
    }

    #[test]
    fn rows_are_parcels_in_order_and_grey_is_their_deviation() {
        // numpy: (x - x.mean(0)) / x.std(0) of these columns
        let series = array![[1.0, 10.0], [2.0, 10.0], [3.0, 10.0], [4.0, 18.0]];
        let picture = example(&series).picture();
        assert_eq!((picture.width, picture.height()), (4, 2));
        let grey = |z: f64| [((z + 2.0) / 4.0 * 255.0).round() as u8; 3];
        let upper = [-0.577_350_269, -0.577_350_269, -0.577_350_269, 1.732_050_808].map(grey);
        let lower = [-1.341_640_786, -0.447_213_595, 0.447_213_595, 1.341_640_786].map(grey);
        assert_eq!(picture.pixels[..4], upper);
        assert_eq!(picture.pixels[4..], lower);
    }

    #[test]
    fn traces_are_those_of_the_standardised_series() {
        let series = array![[1.0, 10.0], [2.0, 10.0], [3.0, 10.0], [4.0, 18.0]];
        let carpet = example(&series);
        let signal = carpet.global_signal();
        assert!((signal[0] + 0.959_495_528).abs() < 1e-8, "{signal}");
        let dvars = carpet.dvars();
        assert!(dvars[0].is_nan());
        // sqrt((0.894427191^2 + 0) / 2)
        assert!((dvars[1] - 0.632_455_532).abs() < 1e-8, "{dvars}");
    }

    #[test]
    fn a_parcel_that_does_not_vary_is_no_signal() {
        let series = array![[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]];
        let picture = example(&series).picture();
        assert_eq!(picture.pixels[..3], [colour::NOTHING; 3]);
        assert!(example(&series).global_signal().iter().all(|x| x.is_finite()));
    }

    #[test]
    fn long_scans_and_fine_atlases_are_averaged() {
        let series = Array2::from_shape_fn((4000, 700), |(frame, parcel)| {
            ((frame / 40 + parcel) % 7) as f64
        });
        let order: Vec<usize> = (0..700).collect();
        let carpet = Carpet {
            series: series.view(),
            order: &order,
            t_r_s: 0.5,
            fd_mm: None,
            what: "voxels",
        };
        let picture = carpet.picture();
        assert_eq!((picture.width, picture.height()), (760, 240));
    }

    #[test]
    fn a_figure_has_a_trace_more_where_displacement_is_known() {
        let series = array![[1.0, 10.0], [2.0, 11.0], [3.0, 10.0], [4.0, 18.0]];
        let fd_mm = array![f64::NAN, 0.1, 0.3, 0.2];
        let with = Carpet { fd_mm: Some(fd_mm.view()), ..example(&series) };
        let (with, without) = (super::carpet(&with), super::carpet(&example(&series)));
        assert_eq!(with.matches("<polyline").count(), without.matches("<polyline").count() + 1);
        assert!(with.contains("displacement (mm)") && with.contains("0.30"));
        assert!(!with.contains("NaN") && with.contains("over 4 frames of 2 s"));
    }
}
