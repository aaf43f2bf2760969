//! Tensor names of checkpoints that were not written by the class that this crate follows.

/// `name` below `root`, where a checkpoint of the model without its head left the root out: Hugging
/// Face's loaders accept both.
pub(crate) fn rooted(root: &str, children: &[&str], name: &str) -> String {
    let bare = children.iter().any(|child| name.starts_with(child));
    if bare { format!("{root}{name}") } else { name.to_owned() }
}
