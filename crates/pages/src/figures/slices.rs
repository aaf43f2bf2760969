//! Where a scan lies: three slices of its mean image, with the outlines of what is read of it.

use super::{
    canvas::{Anchor, Canvas, Svg},
    picture::Picture,
};

/// A slice, pixel by pixel from the top left as it is shown.
#[derive(Clone, Debug)]
pub struct SliceView {
    /// Which slice it is, such as `z = 10 mm`.
    pub name: String,
    /// Pixels in a row and in a column.
    pub shape: [usize; 2],
    /// Width and height of a pixel in mm.
    pub zooms_mm: [f64; 2],
    /// The mean, from black to white.
    pub grey: Vec<u8>,
    /// Whether something ends at a pixel: the bits [`SliceView::DATA`] and [`SliceView::PARCEL`].
    pub edges: Vec<u8>,
}

/// Okabe & Ito's yellow and sky blue: they differ in lightness, and on grey both are seen.
const OF_DATA: [u8; 3] = [0xf0, 0xe4, 0x42];
const OF_PARCEL: [u8; 3] = [0x56, 0xb4, 0xe9];

impl SliceView {
    /// Where data end.
    pub const DATA: u8 = 1;
    /// Where a parcel ends.
    pub const PARCEL: u8 = 2;

    /// Grey with the edges of one of the two in colour; of parcels half of it, as they are many.
    pub fn picture(&self, edges: u8) -> Picture {
        let [width, height] = self.shape;
        Picture::of(height, width, |row, column| {
            let at = row * width + column;
            let grey = self.grey[at];
            match self.edges[at] & edges {
                0 => [grey; 3],
                Self::DATA => OF_DATA,
                _ => OF_PARCEL.map(|channel| u8::midpoint(channel, grey / 8 * 8)),
            }
        })
    }

    fn size_mm(&self) -> [f64; 2] {
        [0, 1].map(|axis| self.shape[axis] as f64 * self.zooms_mm[axis])
    }
}

/// The mean images with the edge of the data above the same with the edges of parcels; none without slices.
pub fn slices(views: &[SliceView]) -> Option<Svg> {
    const WIDTH: f64 = 780.0;
    const GAP: f64 = 20.0;
    let whole = |it: &SliceView| {
        let n = it.shape[0] * it.shape[1];
        n > 0 && it.grey.len() == n && it.edges.len() == n
    };
    if views.is_empty() || !views.iter().all(whole) {
        return None;
    }
    let wide: f64 = views.iter().map(|it| it.size_mm()[0]).sum();
    let high = views.iter().map(|it| it.size_mm()[1]).fold(0.0, f64::max);
    let scale = ((WIDTH - GAP * (views.len() as f64 + 1.0)) / wide).min(320.0 / high);
    let row = high * scale + 34.0;
    let names: Vec<&str> = views.iter().map(|it| it.name.as_str()).collect();
    let title =
        format!("Mean image at {}, with the edges of data and of parcels", names.join(", "));
    let mut canvas = Canvas::new(WIDTH, 2.0 * row + 10.0, &title);
    for (at, (edges, what)) in
        [(SliceView::DATA, "edge of the data"), (SliceView::PARCEL, "edges of parcels")]
            .iter()
            .enumerate()
    {
        let (top, mut left) = (10.0 + row * at as f64, GAP);
        for (idx, view) in views.iter().enumerate() {
            let [width, height] = view.size_mm().map(|mm| mm * scale);
            let name = if idx == 0 { format!("{}, {what}", view.name) } else { view.name.clone() };
            canvas.text((left, top + 12.0), Anchor::Start, "soft", &name);
            canvas.push(format_args!(
                "<image x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 preserveAspectRatio=\"none\" class=\"pixels\" href=\"{}\"/>",
                top + 20.0,
                view.picture(*edges).data_url()
            ));
            left += width + GAP;
        }
    }
    Some(canvas.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_grey_or_on_an_edge() {
        let view = SliceView {
            name: "z = 10 mm".to_owned(),
            shape: [3, 1],
            zooms_mm: [2.0, 4.0],
            grey: vec![0, 200, 255],
            edges: vec![0, 3, 2],
        };
        assert_eq!(view.picture(SliceView::DATA).pixels, [[0; 3], OF_DATA, [255; 3]]);
        // half of 0x56, 0xb4, 0xe9 and half of 200 or 248
        assert_eq!(
            view.picture(SliceView::PARCEL).pixels,
            [[0; 3], [143, 190, 216], [167, 214, 240]]
        );
        let svg = slices(std::slice::from_ref(&view)).unwrap();
        assert_eq!(svg.matches("<image").count(), 2);
        assert!(
            svg.contains("Mean image at z = 10 mm")
                && svg.contains(">z = 10 mm, edges of parcels<")
        );
        assert!(
            slices(&[]).is_none() && slices(&[SliceView { grey: Vec::new(), ..view }]).is_none()
        );
    }
}
