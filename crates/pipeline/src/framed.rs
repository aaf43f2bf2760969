//! Where a scan stands in a prompt: where its words say so, or before them, or where a chat template puts what the user
//! says.
use flamingo::{ChatFrame, IMAGE, unnamed};

/// A prompt in its frame, where there is one, with its scan.
pub(crate) fn framed(frame: Option<&ChatFrame>, prompt: String) -> String {
    match frame {
        None => prompt,
        Some(frame) => frame.around(&with_scan(prompt)),
    }
}

/// The prompt as a model reads it with its scan, which stands first where the words do not say where.
pub(crate) fn with_scan(prompt: String) -> String {
    if unnamed(&prompt).1.is_empty() { format!("{IMAGE}{prompt}") } else { prompt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_stands_before_the_words_of_the_user() {
        let plain = framed(None, "Technique.\n".to_owned());
        assert_eq!(plain, "Technique.\n");
        assert_eq!(with_scan(plain), "<image>Technique.\n");
        let frame = ChatFrame { before: "[user]".to_owned(), after: "[assistant]".to_owned() };
        let chat = framed(Some(&frame), "Technique.\n".to_owned());
        assert_eq!(chat, "[user]<image>Technique.[assistant]");
        assert_eq!(with_scan(chat.clone()), chat);
        let named = framed(Some(&frame), "<image:rest>Technique.".to_owned());
        assert_eq!(named, "[user]<image:rest>Technique.[assistant]");
    }
}
