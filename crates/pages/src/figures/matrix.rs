//! How the parcels of a recording go together, as a square of colours.

use super::canvas::{Anchor, Canvas, Svg};
use ndarray::ArrayView2;

use super::{colour, picture::Picture};

/// A matrix of correlations ready to be drawn.
#[derive(Clone, Debug)]
pub struct Matrix<'a> {
    /// `(n_parcels, n_parcels)`, −1 to 1.
    pub values: ArrayView2<'a, f64>,
    /// Rows and columns from the top left: indices of parcels.
    pub order: &'a [usize],
    /// Networks in that order, each with its number of parcels; empty where the atlas names none.
    pub networks: &'a [(String, usize)],
}

impl Matrix<'_> {
    /// A pixel a pair: blue for −1, white for 0, red for 1.
    pub fn picture(&self) -> Picture {
        let n = self.order.len();
        Picture::of(n, n, |row, column| {
            colour::diverging(self.values[[self.order[row], self.order[column]]], 1.0)
        })
    }
}

/// The matrix with lines between networks and their names, as one SVG.
pub fn matrix(matrix: &Matrix<'_>) -> Svg {
    const SIDE: f64 = 420.0;
    const LEFT: f64 = 110.0;
    const TOP: f64 = 20.0;
    /// The least height of a network whose name is written.
    const LINE: f64 = 14.0;
    let n = matrix.order.len().max(1) as f64;
    let title = format!(
        "Correlations of {} parcels{}",
        matrix.order.len(),
        match matrix.networks.len() {
            0 => String::new(),
            n => format!(" in {n} networks"),
        }
    );
    let mut canvas = Canvas::new(LEFT + SIDE + 90.0, TOP + SIDE + 20.0, &title);
    canvas.push(format_args!(
        "<image x=\"{LEFT}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\" \
         class=\"pixels\" href=\"{}\"/>",
        matrix.picture().data_url()
    ));
    let mut first = 0;
    for (name, n_parcels) in matrix.networks {
        let (from, to) = (first as f64 / n * SIDE, (first + n_parcels) as f64 / n * SIDE);
        if first > 0 {
            canvas.line("axis", (LEFT + from, TOP), (LEFT + from, TOP + SIDE));
            canvas.line("axis", (LEFT, TOP + from), (LEFT + SIDE, TOP + from));
        }
        if to - from >= LINE {
            let middle = TOP + f64::midpoint(from, to) + 4.0;
            canvas.text((LEFT - 6.0, middle), Anchor::End, "soft", name);
        }
        first += n_parcels;
    }
    let scale = Picture::of(101, 1, |row, _| colour::diverging(1.0 - row as f64 / 50.0, 1.0));
    let right = LEFT + SIDE + 20.0;
    canvas.push(format_args!(
        "<image x=\"{right}\" y=\"{TOP}\" width=\"16\" height=\"{SIDE}\" \
         preserveAspectRatio=\"none\" href=\"{}\"/>",
        scale.data_url()
    ));
    for (label, share) in [("1", 0.0), ("0", 0.5), ("−1", 1.0)] {
        canvas.text((right + 22.0, TOP + share * SIDE + 4.0), Anchor::Start, "soft", label);
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_pixel_is_the_pair_of_its_row_and_column() {
        let values = array![[1.0, 0.2, -1.0], [0.2, 1.0, 0.0], [-1.0, 0.0, 1.0]];
        let networks = [("Vis".to_owned(), 1), ("Default".to_owned(), 2)];
        let it = Matrix { values: values.view(), order: &[2, 0, 1], networks: &networks };
        let picture = it.picture();
        let pixel = |row: usize, column: usize| picture.pixels[row * 3 + column];
        assert_eq!(pixel(0, 0), colour::diverging(1.0, 1.0));
        assert_eq!(pixel(0, 1), colour::diverging(-1.0, 1.0), "parcels 2 and 0");
        assert_eq!(pixel(1, 2), colour::diverging(0.2, 1.0), "parcels 0 and 1");
        let svg = matrix(&it);
        assert!(svg.contains(">Vis<") && svg.contains(">Default<"));
        assert!(svg.contains("Correlations of 3 parcels in 2 networks"));
    }
}
