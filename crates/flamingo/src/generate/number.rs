//! Numbers of a range, as they are spelt token by token.

/// Numbers from one to another, written with a fixed count of decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    /// In units of the last decimal.
    lowest: i128,
    highest: i128,
    decimals: u32,
}

/// Beyond any quantity, and small enough to be added and multiplied.
const MOST: f64 = 1e24;

impl NumberRange {
    /// From `lowest` to `highest`, both included where they have no more than these decimals.
    ///
    /// ```
    /// # use flamingo::NumberRange;
    /// let years = NumberRange::new(18.0, 90.0, 0);
    /// assert!(years.begins("9") && years.is_whole("9") == false && years.is_whole("90"));
    /// assert!(!years.begins("91"));
    /// ```
    pub fn new(lowest: f64, highest: f64, decimals: u32) -> Self {
        let units = 10f64.powi(decimals as i32);
        // a tenth that is a little off as a binary number is still that tenth
        let lowest = (lowest * units - 1e-6).ceil().clamp(-MOST, MOST) as i128;
        let highest = (highest * units + 1e-6).floor().clamp(-MOST, MOST) as i128;
        Self { lowest, highest, decimals }
    }

    /// Whether this is one of the numbers, with all its decimals.
    pub fn is_whole(&self, text: &str) -> bool {
        let has_decimals = |it: &Prefix| it.decimals == self.decimals;
        let prefix = Prefix::of(text).filter(has_decimals).filter(|it| it.has_digit);
        prefix.is_some_and(|it| it.may_end && self.meets(it.negative, it.digits, it.digits))
    }

    /// Whether one of the numbers begins so, or is this.
    pub fn begins(&self, text: &str) -> bool {
        let Some(Prefix { negative, digits, decimals, has_digit, has_point, .. }) =
            Prefix::of(text)
        else {
            return false;
        };
        if !has_digit {
            return if negative { self.lowest < 0 } else { self.lowest <= self.highest };
        }
        if decimals > self.decimals || (has_point && self.decimals == 0) {
            return false;
        }
        // what decimals to come can add
        let unit = 10i128.pow(self.decimals - decimals);
        if has_point {
            return self.meets(negative, digits * unit, (digits + 1) * unit - 1);
        }
        let mut unit = unit;
        loop {
            if self.meets(negative, digits * unit, (digits + 1) * unit - 1) {
                return true;
            }
            // no digit follows a leading zero
            if digits == 0 || digits * unit > self.highest.max(-self.lowest) {
                return false;
            }
            unit *= 10;
        }
    }

    /// Whether some number of these digits, in units of the last decimal, is in the range.
    fn meets(&self, negative: bool, least: i128, most: i128) -> bool {
        let (least, most) = if negative { (-most, -least.max(1)) } else { (least, most) };
        least <= most && least <= self.highest && most >= self.lowest
    }
}

/// The beginning of a number.
struct Prefix {
    negative: bool,
    /// All digits as one number.
    digits: i128,
    decimals: u32,
    has_digit: bool,
    has_point: bool,
    /// Does not end with its point.
    may_end: bool,
}

impl Prefix {
    fn of(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
        let is_digits = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        let no_whole = fraction.is_some() && whole.is_empty();
        if leading_zero || no_whole || !is_digits(whole) || !fraction.is_none_or(is_digits) {
            return None;
        }
        let all = format!("{whole}{}", fraction.unwrap_or_default());
        let has_digit = !all.is_empty();
        // longer ones are in no range
        let digits = if has_digit { all.parse().ok().filter(|_| all.len() <= 25)? } else { 0 };
        Some(Self {
            negative,
            digits,
            decimals: fraction.map_or(0, str::len) as u32,
            has_digit,
            has_point: fraction.is_some(),
            may_end: fraction != Some(""),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of the range, written out.
    fn all(lowest: i64, highest: i64, decimals: usize) -> Vec<String> {
        let units = 10f64.powi(decimals as i32);
        (lowest..=highest).map(|it| format!("{:.*}", decimals, it as f64 / units)).collect()
    }

    #[test]
    fn texts_begin_a_number_where_some_number_begins_with_them() {
        for (lowest, highest, decimals) in
            [(0, 130, 0), (18, 90, 0), (-25, 120, 1), (7, 7, 2), (-312, -198, 2), (95, 105, 0)]
        {
            let units = 10f64.powi(decimals as i32);
            let range =
                NumberRange::new(lowest as f64 / units, highest as f64 / units, decimals as u32);
            let numbers = all(lowest, highest, decimals);
            let alphabet: Vec<char> = "0123456789.-".chars().collect();
            // every text of up to five characters that begins so far, and one character more
            let mut open = vec![String::new()];
            while let Some(text) = open.pop() {
                let is_begun = numbers.iter().any(|it| it.starts_with(&text));
                assert_eq!(range.begins(&text), is_begun, "{text:?} in {lowest}..{highest}");
                assert_eq!(range.is_whole(&text), numbers.contains(&text), "{text:?}");
                if is_begun {
                    open.extend(alphabet.iter().map(|it| format!("{text}{it}")));
                }
            }
        }
    }

    #[test]
    fn ranges_without_ends_and_words_are_told() {
        let any = NumberRange::new(-1e300, 1e300, 2);
        assert!(any.begins("123456789012") && any.is_whole("-3.50") && !any.begins("3.501"));
        for text in ["x", "1e5", "+1", "1.2.3", "--1", " 1", "01", ".5", "9".repeat(40).as_str()] {
            assert!(!any.begins(text), "{text}");
        }
        // no number of one decimal lies between
        assert!(!NumberRange::new(0.01, 0.04, 1).begins(""));
        assert!(NumberRange::new(0.1, 0.3, 1).is_whole("0.3"));
    }
}
