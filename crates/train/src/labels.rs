//! Which ids of a row are learned, as OpenFlamingo's training says it for its two kinds of data.

/// The two kinds of rows that OpenFlamingo learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// One image and its caption: everything but padding and `<image>` is learned.
    ImageText,
    /// Sentences, each after its image: learned is what follows an `<image>`, up to and with the next
    /// `<|endofchunk|>`.
    Interleaved,
}

/// How padding is told from text.
#[derive(Clone, Copy, Debug)]
pub enum Padding<'a> {
    /// By the attention mask, `true` where an id is real.
    Mask(&'a [bool]),
    /// By its id, as OpenFlamingo 2.0.1 does: where the language model's end token is the padding, no end of
    /// a text is learned.
    Id(u32),
}

/// The ids that `rows` of a kind learn, `None` where an id is not learned; not shifted.
///
/// `image` and `end_of_chunk` are the ids of the two special tokens. Source: `train_one_epoch` of OpenFlamingo 2.0.1.
pub fn labels(
    kind: RowKind,
    ids: &[u32],
    padding: Padding,
    image: u32,
    end_of_chunk: u32,
) -> Vec<Option<u32>> {
    let mut learns = kind == RowKind::ImageText;
    let label = |(at, &id): (usize, &u32)| {
        if id == image {
            learns = true;
            return None;
        }
        let is_padding = match padding {
            Padding::Mask(real) => !real.get(at).copied().unwrap_or(false),
            Padding::Id(pad) => id == pad,
        };
        let label = (learns && !is_padding).then_some(id);
        if kind == RowKind::Interleaved && id == end_of_chunk {
            learns = false;
        }
        label
    };
    ids.iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u32 = 97;
    const END: u32 = 96;

    fn found(kind: RowKind, ids: &[u32], padding: Padding) -> Vec<i64> {
        let labels = labels(kind, ids, padding, IMAGE, END);
        labels.into_iter().map(|label| label.map_or(-100, i64::from)).collect()
    }

    // rows and labels as OpenFlamingo's own loop gave them
    #[test]
    fn a_caption_is_learned_with_its_end() {
        let ids = [1, IMAGE, 10, 11, 12, END, 2, 98, 98];
        let padding = Padding::Id(98);
        let expected = [1, -100, 10, 11, 12, 96, 2, -100, -100];
        assert_eq!(found(RowKind::ImageText, &ids, padding), expected);
        let expected = [-100, -100, 10, 11, 12, 96, -100, -100, -100];
        assert_eq!(found(RowKind::Interleaved, &ids, padding), expected);
    }

    #[test]
    fn an_interleaved_row_learns_what_stands_after_its_images() {
        let ids = [1, 5, END, 6, IMAGE, IMAGE, 7, END, 6, 7, IMAGE, 8, END, 2];
        let expected = [-100, -100, -100, -100, -100, -100, 7, 96, -100, -100, -100, 8, 96, -100];
        assert_eq!(found(RowKind::Interleaved, &ids, Padding::Id(98)), expected);
        assert_eq!(found(RowKind::Interleaved, &[1, 5, 6, END, 2], Padding::Id(98)), [-100; 5]);
    }

    #[test]
    fn an_end_token_that_pads_is_learned_where_the_mask_says_that_it_is_real() {
        let ids = [IMAGE, 10, END, 2, 2, 2];
        let real = [true, true, true, true, false, false];
        let by_id = found(RowKind::ImageText, &ids, Padding::Id(2));
        assert_eq!(by_id, [-100, 10, 96, -100, -100, -100]);
        let by_mask = found(RowKind::ImageText, &ids, Padding::Mask(&real));
        assert_eq!(by_mask, [-100, 10, 96, 2, -100, -100]);
    }
}
