//! Finds paths in the arguments of macros and attributes, which are tokens and not parsed code.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

/// The paths in a stream of tokens, each with its line number.
///
/// A single name counts where it looks like a type, a call or a macro; other single names are fields and variables.
/// In attributes (`with_texts`), a string counts that is a path from the crate, as in `#[serde(with =
/// "crate::a::b")]`.
pub(crate) fn paths(stream: TokenStream, with_texts: bool) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    collect(stream, with_texts, &mut found);
    found
}

fn collect(stream: TokenStream, with_texts: bool, found: &mut Vec<(Vec<String>, usize)>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut next = at + 1;
        match token {
            TokenTree::Group(group) => collect(group.stream(), with_texts, found),
            TokenTree::Literal(literal) if with_texts => {
                if let Some(path) = syn::parse_str(&literal.to_string()).ok().and_then(|text| path_in(&text)) {
                    found.push((path, literal.span().start().line));
                }
            }
            TokenTree::Ident(first) => {
                let mut path = vec![first.to_string()];
                while let Some(segment) = segment_after(&tokens, next) {
                    path.push(segment.to_string());
                    next += 3;
                }
                if begins_path(&tokens, at, first) && (path.len() > 1 || is_item(first, tokens.get(next))) {
                    found.push((path, first.span().start().line));
                }
            }
            TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
        at = next;
    }
}

/// The identifier after `::`, where the tokens from `at` on are `::name`.
fn segment_after(tokens: &[TokenTree], at: usize) -> Option<&Ident> {
    let name = tokens.get(at + 2).filter(|_| is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':'));
    match name {
        Some(TokenTree::Ident(name)) => Some(name),
        _ => None,
    }
}

/// Whether the name at `at` begins a path: it is no field, lifetime, macro variable, or later segment of a path.
fn begins_path(tokens: &[TokenTree], at: usize, name: &Ident) -> bool {
    let before = |distance: usize| at.checked_sub(distance).and_then(|at| tokens.get(at));
    let is_field = is_punct(before(1), '.') && !is_punct(before(2), '.');
    let is_variable = is_punct(before(1), '$') && name != "crate";
    let continues = is_punct(before(1), ':') && is_punct(before(2), ':');
    !(is_field || is_variable || continues || is_punct(before(1), '\''))
}

fn is_item(name: &Ident, next: Option<&TokenTree>) -> bool {
    let is_call = matches!(next, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    name.to_string().starts_with(char::is_uppercase) || is_call || is_punct(next, '!')
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn path_in(text: &syn::LitStr) -> Option<Vec<String>> {
    let text = text.value();
    let is_ours = ["crate::", "self::", "super::"].iter().any(|start| text.starts_with(start));
    let path = syn::parse_str::<syn::Path>(&text).ok().filter(|_| is_ours)?;
    Some(path.segments.iter().map(|segment| segment.ident.to_string()).collect())
}
