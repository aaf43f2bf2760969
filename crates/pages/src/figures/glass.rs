//! Parcels as points in three projections of the head.

use super::canvas::{Anchor, Canvas, Svg};

use super::colour;

/// Half the width of what is shown, in mm around the origin of MNI space.
const REACH_MM: [f64; 3] = [80.0, 115.0, 90.0];

/// Where the origin of MNI space lies in what is shown, in mm.
const CENTRE_MM: [f64; 3] = [0.0, -18.0, 10.0];

/// Points at `places_mm` (RAS, one a parcel) coloured by `values`, blue below 0 and red above, full at
/// the greatest absolute value; larger points are further from 0. None where no value is a number.
pub fn glass_brain(places_mm: &[[f64; 3]], values: &[f64], what: &str) -> Option<Svg> {
    const SCALE: f64 = 1.1;
    let limit = values.iter().filter(|x| x.is_finite()).fold(0.0_f64, |most, x| most.max(x.abs()));
    if limit == 0.0 || places_mm.len() != values.len() {
        return None;
    }
    let views: [(&str, usize, usize); 3] = [
        ("left to right, from behind", 0, 2),
        ("back to front, from the right", 1, 2),
        ("from above", 0, 1),
    ];
    let width = |axis: usize| 2.0 * REACH_MM[axis] * SCALE;
    let total: f64 = views.iter().map(|(_, across, _)| width(*across) + 30.0).sum();
    let title = format!("{what} of {} parcels on three projections of the head", values.len());
    let mut canvas = Canvas::new(total, width(1) + 40.0, &title);
    // those nearest to 0 first, so that the others lie above them
    let mut order: Vec<usize> = (0..values.len()).filter(|&it| values[it].is_finite()).collect();
    order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    let mut left = 15.0;
    for (name, across, up) in views {
        let (middle_x, middle_y) = (left + width(across) / 2.0, 24.0 + width(1) / 2.0);
        canvas.text((middle_x, 16.0), Anchor::Middle, "soft", name);
        canvas.push(format_args!(
            "<ellipse cx=\"{middle_x:.1}\" cy=\"{middle_y:.1}\" rx=\"{:.1}\" ry=\"{:.1}\" class=\"own\"/>",
            width(across) / 2.0,
            width(up) / 2.0
        ));
        for &parcel in &order {
            let at = |axis: usize| (places_mm[parcel][axis] - CENTRE_MM[axis]) * SCALE;
            let [red, green, blue] = colour::diverging(values[parcel], limit);
            let radius = 1.5 + 3.5 * values[parcel].abs() / limit;
            canvas.push(format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\" \
                 fill=\"#{red:02x}{green:02x}{blue:02x}\" class=\"axis\" stroke-width=\"0.3\"/>",
                middle_x + at(across),
                middle_y - at(up)
            ));
        }
        left += width(across) + 30.0;
    }
    Some(canvas.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parcel_is_a_point_in_each_view() {
        let places = [[-40.0, 20.0, 30.0], [40.0, 20.0, 30.0], [0.0, -90.0, 0.0]];
        let svg = glass_brain(&places, &[-1.0, 2.0, f64::NAN], "mean signal").unwrap();
        assert_eq!(svg.matches("<circle").count(), 6, "one has no value");
        assert!(svg.contains("#67001f"), "the greatest is full");
        let x = |colour: &str| -> f64 {
            let line = svg.lines().find(|line| line.contains(colour)).unwrap();
            line.split("cx=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        let half = colour::diverging(-1.0, 2.0);
        let half = format!("#{:02x}{:02x}{:02x}", half[0], half[1], half[2]);
        assert!(x(&half) < x("#67001f"), "left is left");
        assert!(glass_brain(&places, &[0.0; 3], "nothing").is_none());
    }
}
