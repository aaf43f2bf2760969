//! The cubic spline of `scipy.interpolate.CubicSpline`, with not-a-knot ends.

/// A cubic spline over given times; the values come later, many columns over the same times.
pub(crate) struct Spline {
    times: Vec<f64>,
}

impl Spline {
    /// At least two times, ascending.
    pub(crate) fn new(times: Vec<f64>) -> Self {
        Self { times }
    }

    /// The derivative at each time, so that the second derivative is continuous, and the third at
    /// the second and the last but one time.
    pub(crate) fn slopes(&self, values: &[f64]) -> Vec<f64> {
        let x = &self.times;
        let n = x.len();
        let step: Vec<f64> = x.windows(2).map(|w| w[1] - w[0]).collect();
        let rise: Vec<f64> = values.windows(2).zip(&step).map(|(w, h)| (w[1] - w[0]) / h).collect();
        if n == 2 {
            return vec![rise[0]; 2];
        }
        if n == 3 {
            // One parabola through the three.
            let bend = (rise[1] - rise[0]) / (x[2] - x[0]);
            let first = rise[0] - bend * step[0];
            return x.iter().map(|t| first + 2.0 * bend * (t - x[0])).collect();
        }
        // Three diagonals, from the first row to the last.
        let (mut below, mut middle, mut above, mut right) =
            (vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let span = x[2] - x[0];
        middle[0] = step[1];
        above[0] = span;
        right[0] = ((step[0] + 2.0 * span) * step[1] * rise[0] + step[0].powi(2) * rise[1]) / span;
        for i in 1..n - 1 {
            below[i] = step[i];
            middle[i] = 2.0 * (step[i - 1] + step[i]);
            above[i] = step[i - 1];
            right[i] = 3.0 * (step[i] * rise[i - 1] + step[i - 1] * rise[i]);
        }
        let (h, g) = (step[n - 2], step[n - 3]);
        let span = x[n - 1] - x[n - 3];
        below[n - 1] = span;
        middle[n - 1] = g;
        right[n - 1] = (h.powi(2) * rise[n - 3] + (2.0 * span + h) * g * rise[n - 2]) / span;
        for i in 1..n {
            let share = below[i] / middle[i - 1];
            middle[i] -= share * above[i - 1];
            right[i] -= share * right[i - 1];
        }
        let mut slopes = right;
        slopes[n - 1] /= middle[n - 1];
        for i in (0..n - 1).rev() {
            slopes[i] = (slopes[i] - above[i] * slopes[i + 1]) / middle[i];
        }
        slopes
    }

    pub(crate) fn at(&self, values: &[f64], slopes: &[f64], time: f64) -> f64 {
        let x = &self.times;
        let i = x.partition_point(|&t| t <= time).clamp(1, x.len() - 1) - 1;
        let (h, u) = (x[i + 1] - x[i], time - x[i]);
        let rise = (values[i + 1] - values[i]) / h;
        let bend = (slopes[i] + slopes[i + 1] - 2.0 * rise) / h;
        let curve = (rise - slopes[i]) / h - bend;
        ((bend / h * u + curve) * u + slopes[i]) * u + values[i]
    }
}
