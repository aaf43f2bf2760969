//! The entropy-coded bits of a scan and the Huffman codes in them (T.81, annexes C and F.2.2).

/// Bits, most significant first, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits read ahead, from the top down; zeros below them.
    window: u64,
    n_bits: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, window: 0, n_bits: 0 }
    }

    /// Where the bytes stand that were not read ahead: at the next marker, or before it.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn refill(&mut self) {
        while self.n_bits <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xff {
                // A zero was stuffed behind a byte that would look like a marker.
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.window |= u64::from(byte) << (56 - self.n_bits);
            self.n_bits += 8;
        }
    }

    fn skip(&mut self, n: u32) -> Result<(), String> {
        if n > self.n_bits {
            let ended = self.at + 1 >= self.bytes.len();
            return Err(if ended {
                format!("ends after {} bytes, inside its pixels", self.bytes.len())
            } else {
                format!("is a damaged JPEG: a scan ends early, at byte {}", self.at)
            });
        }
        self.window <<= n;
        self.n_bits -= n;
        Ok(())
    }

    /// The next `n` bits, at most 16.
    pub(super) fn take(&mut self, n: u32) -> Result<i32, String> {
        self.refill();
        let value = (self.window >> 48 >> (16 - n)) as i32;
        self.skip(n)?;
        Ok(value)
    }

    /// A number of `n` bits, where those below the middle are the negative ones (T.81, F.12).
    pub(super) fn take_signed(&mut self, n: u32) -> Result<i32, String> {
        let value = self.take(n)?;
        Ok(if n > 0 && value < 1 << (n - 1) { value - (1 << n) + 1 } else { value })
    }

    /// Leaves the rest of this interval and steps over the restart marker behind it.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        (self.window, self.n_bits) = (0, 0);
        while self.bytes.get(self.at..self.at + 2) == Some(&[0xff, 0xff]) {
            self.at += 1;
        }
        match self.bytes.get(self.at..self.at + 2) {
            Some([0xff, 0xd0..=0xd7]) => self.at += 2,
            Some(_) => return Err(format!("is a damaged JPEG: no restart at byte {}", self.at)),
            None => {
                return Err(format!("ends after {} bytes, inside its pixels", self.bytes.len()));
            }
        }
        Ok(())
    }
}

/// A Huffman table, spread out: the length and the symbol of the code that 16 bits begin with.
#[derive(Clone)]
pub(super) struct Huffman(Box<[(u8, u8)]>);

impl Huffman {
    /// From the number of codes of each length 1 … 16 and their symbols (T.81, annex C).
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Result<Self, String> {
        let mut codes = Vec::with_capacity(1 << 16);
        let mut symbols = symbols.iter();
        for (length, &count) in (1..=16).zip(counts) {
            for &symbol in symbols.by_ref().take(usize::from(count)) {
                codes.resize(codes.len() + (1 << (16 - length)), (length, symbol));
            }
        }
        if codes.len() > 1 << 16 {
            return Err("is a damaged JPEG: a Huffman table holds too many codes".to_owned());
        }
        codes.resize(1 << 16, (0, 0));
        Ok(Self(codes.into()))
    }

    /// The next symbol.
    pub(super) fn symbol(&self, bits: &mut Bits) -> Result<u8, String> {
        bits.refill();
        let (length, symbol) = self.0[(bits.window >> 48) as usize];
        bits.skip(u32::from(length))?;
        if length == 0 {
            return Err(format!("is a damaged JPEG: no Huffman code before byte {}", bits.at));
        }
        Ok(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_assigned_in_order_of_length() {
        // T.81, C.2: lengths 2, 2, 3 give 00, 01, 100
        let mut counts = [0; 16];
        (counts[1], counts[2]) = (2, 1);
        let table = Huffman::new(&counts, &[7, 8, 9]).unwrap();
        let mut bits = Bits::new(&[0b0110_0001, 0xff, 0xd9], 0);
        let symbols: Vec<_> = (0..3).map(|_| table.symbol(&mut bits).unwrap()).collect();
        assert_eq!(symbols, [8, 9, 7]);
        assert!(table.symbol(&mut bits).unwrap_err().contains("ends"), "a single 1 is left");
    }

    #[test]
    fn a_table_with_more_codes_than_bits_is_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Huffman::new(&counts, &[1, 2, 3]).is_err());
    }

    #[test]
    fn stuffed_zeros_are_no_data_and_numbers_have_signs() {
        let mut bits = Bits::new(&[0xff, 0x00, 0b0101_0000], 0);
        assert_eq!(bits.take(8), Ok(255));
        assert_eq!(bits.take_signed(2), Ok(-2));
        assert_eq!(bits.take_signed(0), Ok(0));
        assert_eq!(bits.take_signed(2), Ok(-2));
        assert!(bits.take(8).unwrap_err().contains("ends after 3 bytes"));
    }
}
