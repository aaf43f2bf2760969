//! The prompts of OpenFlamingo 2.0.1's evaluation, letter by letter.

use crate::prompt::{END_OF_CHUNK, IMAGE};

/// Solved examples that stand before a question without their pictures, where no shots are asked for: so
/// Flamingo is asked zero-shot (Alayrac et al. 2022), and OpenFlamingo with it.
pub const TEXT_DEMONSTRATIONS: usize = 2;

/// What is asked of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A caption.
    Caption,
    /// A short answer to this question.
    Question(String),
    /// Whether the picture with this text on it is hateful.
    Hateful(String),
    /// What it shows.
    Class,
}

impl Ask {
    /// The prompt for a picture, up to the answer.
    pub fn query(&self) -> String {
        match self {
            Self::Caption | Self::Class => format!("{IMAGE}Output:"),
            Self::Question(question) => format!("{IMAGE}Question:{question} Short answer:"),
            Self::Hateful(text) => {
                format!("{IMAGE}is an image with: '{text}' written on it. Is it hateful? Answer:")
            }
        }
    }

    /// The same with its answer, as it stands before other questions.
    pub fn demonstration(&self, answer: &str) -> String {
        let (answer, after) = match self {
            Self::Caption => (answer.trim(), "\n"),
            Self::Question(_) => (answer, "\n"),
            Self::Hateful(_) | Self::Class => (answer, ""),
        };
        format!("{}{answer}{END_OF_CHUNK}{after}", self.query())
    }
}

/// Demonstrations, then the question. Without `with_pictures` they are words alone: their `<image>` are left
/// out, wherever they stand.
pub fn prompt(demonstrations: &[String], query: &Ask, with_pictures: bool) -> String {
    let mut text = demonstrations.concat();
    if !with_pictures {
        text = text.replace(IMAGE, "");
    }
    text + &query.query()
}

/// The caption in what a model wrote: up to the next `Output`, without quotation marks.
///
/// ```
/// assert_eq!(report::few_shot::caption("a \"cat\"\nOutput:a dog"), "a cat\n");
/// ```
pub fn caption(generated: &str) -> String {
    let (caption, _) = generated.split_once("Output").unwrap_or((generated, ""));
    caption.replace('"', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_open_flamingos() {
        // its get_caption_prompt, get_vqa_prompt, get_imagenet_prompt and get_hateful_memes_prompt, each with and
        // without an answer, and the line break that evaluate_captioning and evaluate_vqa put after an example
        let question = Ask::Question("What is it?".to_owned());
        let meme = Ask::Hateful("so nice".to_owned());
        for (ask, answer, query, demonstration) in [
            (
                &Ask::Caption,
                " two cats \n",
                "<image>Output:",
                "<image>Output:two cats<|endofchunk|>\n",
            ),
            (
                &question,
                "a cat",
                "<image>Question:What is it? Short answer:",
                "<image>Question:What is it? Short answer:a cat<|endofchunk|>\n",
            ),
            (
                &meme,
                "no",
                "<image>is an image with: 'so nice' written on it. Is it hateful? Answer:",
                "<image>is an image with: 'so nice' written on it. Is it hateful? Answer:no<|endofchunk|>",
            ),
            (&Ask::Class, "tench", "<image>Output:", "<image>Output:tench<|endofchunk|>"),
        ] {
            assert_eq!(ask.query(), query);
            assert_eq!(ask.demonstration(answer), demonstration);
        }
    }

    #[test]
    fn without_pictures_the_words_stay() {
        let shown = [Ask::Caption.demonstration("a cat"), Ask::Caption.demonstration("a dog")];
        assert_eq!(
            prompt(&shown, &Ask::Caption, true),
            "<image>Output:a cat<|endofchunk|>\n<image>Output:a dog<|endofchunk|>\n<image>Output:"
        );
        assert_eq!(
            prompt(&shown, &Ask::Caption, false),
            "Output:a cat<|endofchunk|>\nOutput:a dog<|endofchunk|>\n<image>Output:"
        );
        assert_eq!(prompt(&[], &Ask::Class, true), "<image>Output:");
    }
}
