// SPDX-License-Identifier: GPL-2.0

//! The macro `fmt!`.

use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use std::collections::BTreeSet;

/// Wraps each argument in an `Adapter`, also those that the format string names.
pub(crate) fn fmt(input: TokenStream) -> TokenStream {
    let mut parts = split(input).into_iter();
    let Some(format) = parts.next() else {
        return call(TokenStream::new());
    };
    let span = format
        .clone()
        .into_iter()
        .next()
        .map_or_else(Span::call_site, |token| token.span());
    let mut names = captured(&format.to_string());
    let mut arguments = format;
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = named(part);
        arguments.extend([comma()]);
        if let Some(name) = name {
            names.remove(&name.to_string());
            arguments.extend([TokenTree::from(name), punct('=')]);
        }
        arguments.extend(adapted(value, span));
    }
    for name in names {
        let ident = Ident::new(&name, span);
        arguments.extend([comma(), ident.clone().into(), punct('=')]);
        arguments.extend(adapted(TokenTree::from(ident).into(), span));
    }
    call(arguments)
}

/// Splits tokens at their commas.
fn split(input: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in input {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(p), _) if p.as_char() == ',' => parts.push(TokenStream::new()),
            (_, Some(last)) => last.extend([token]),
            _ => {}
        }
    }
    parts
}

/// Returns the identifiers that a format string captures.
fn captured(format: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = format;
    while let Some((_, after)) = rest.split_once('{') {
        if let Some(escaped) = after.strip_prefix('{') {
            rest = escaped;
            continue;
        }
        let Some((place, after)) = after.split_once('}') else {
            break;
        };
        rest = after;
        let name = place.split(':').next().unwrap_or_default().trim();
        if name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            names.insert(name.to_owned());
        }
    }
    names
}

/// Takes the name off an argument `name = value`.
fn named(part: TokenStream) -> (Option<Ident>, TokenStream) {
    let mut tokens = part.clone().into_iter();
    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Punct(p))) =
        (tokens.next(), tokens.next())
    {
        if p.as_char() == '=' && p.spacing() == Spacing::Alone {
            return (Some(name), tokens.collect());
        }
    }
    (None, part)
}

/// Returns `::kernel::fmt::Adapter(&(value))`.
fn adapted(value: TokenStream, span: Span) -> TokenStream {
    let group = |tokens| TokenTree::from(Group::new(Delimiter::Parenthesis, tokens));
    let mut path: TokenStream = "::kernel::fmt::Adapter".parse().unwrap_or_default();
    path = path
        .into_iter()
        .map(|mut token| {
            token.set_span(span.resolved_at(Span::mixed_site()));
            token
        })
        .collect();
    let mut argument = TokenStream::from(punct('&'));
    argument.extend([group(value)]);
    path.extend([group(argument)]);
    path
}

/// Returns `::core::format_args!(arguments)`.
fn call(arguments: TokenStream) -> TokenStream {
    let mut call: TokenStream = "::core::format_args!".parse().unwrap_or_default();
    call.extend([TokenTree::from(Group::new(
        Delimiter::Parenthesis,
        arguments,
    ))]);
    call
}

fn comma() -> TokenTree {
    punct(',')
}

fn punct(c: char) -> TokenTree {
    Punct::new(c, Spacing::Alone).into()
}
