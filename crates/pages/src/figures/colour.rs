//! Colours of numbers, told apart by people who are colour-blind.

/// `RdBu` of `ColorBrewer` (Apache-2.0) at eleven places, blue for negative numbers.
const DIVERGING: [[u8; 3]; 11] = [
    [0x05, 0x30, 0x61],
    [0x21, 0x66, 0xac],
    [0x43, 0x93, 0xc3],
    [0x92, 0xc5, 0xde],
    [0xd1, 0xe5, 0xf0],
    [0xf7, 0xf7, 0xf7],
    [0xfd, 0xdb, 0xc7],
    [0xf4, 0xa5, 0x82],
    [0xd6, 0x60, 0x4d],
    [0xb2, 0x18, 0x2b],
    [0x67, 0x00, 0x1f],
];

/// The colour of what is not a number.
pub(crate) const NOTHING: [u8; 3] = [0x80, 0x80, 0x80];

/// White at 0, blue below and red above, full at `limit`, in 127 steps each: a picture has a palette.
pub(crate) fn diverging(value: f64, limit: f64) -> [u8; 3] {
    if !value.is_finite() {
        return NOTHING;
    }
    let step = ((value / limit).clamp(-1.0, 1.0) * 127.0).round() / 127.0;
    let place = step.mul_add(5.0, 5.0);
    let below = (place.floor() as usize).min(DIVERGING.len() - 2);
    let share = place - below as f64;
    let between = |channel: usize| {
        let [low, high] = [below, below + 1].map(|it| f64::from(DIVERGING[it][channel]));
        share.mul_add(high - low, low).round() as u8
    };
    [between(0), between(1), between(2)]
}

/// Black at `-limit`, white at `limit`.
pub(crate) fn grey(value: f64, limit: f64) -> [u8; 3] {
    if !value.is_finite() {
        return NOTHING;
    }
    [((value / limit).clamp(-1.0, 1.0).mul_add(0.5, 0.5) * 255.0).round() as u8; 3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle_are_those_of_the_maps() {
        assert_eq!(diverging(0.0, 2.0), [0xf7; 3]);
        assert_eq!(diverging(-9.0, 1.0), DIVERGING[0]);
        assert_eq!(diverging(1.0, 1.0), DIVERGING[10]);
        assert_eq!(diverging(0.2, 1.0), [0xfd, 0xdb, 0xc8], "25 steps of 127 are not 0.2");
        assert_eq!(diverging(0.1, 1.0), [0xfa, 0xe9, 0xde], "between two of them");
        assert_eq!([grey(-2.0, 2.0), grey(0.0, 2.0), grey(5.0, 2.0)], [[0; 3], [128; 3], [255; 3]]);
        assert_eq!([diverging(f64::NAN, 1.0), grey(f64::NAN, 1.0)], [NOTHING; 2]);
    }
}
