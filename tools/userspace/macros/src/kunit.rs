// SPDX-License-Identifier: GPL-2.0

//! The attribute `#[kunit_tests]`.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Makes a suite of a module.
pub(crate) fn kunit_tests(suite: TokenStream, module: TokenStream) -> TokenStream {
    let suite = suite.to_string();
    let mut tokens: Vec<TokenTree> = module.into_iter().collect();
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        return error("`#[kunit_tests(name)]` belongs before an inline module");
    };
    if body.delimiter() != Delimiter::Brace || suite.is_empty() {
        return error("`#[kunit_tests(name)]` needs a name, and an inline module");
    }
    let (mut items, tests) = without_test_attributes(body.stream());
    if tests.is_empty() {
        return error("the suite has no `#[test]`");
    }
    let mut runs = String::new();
    for Test { name, attributes } in &tests {
        runs += &format!(
            "{attributes}
             #[test]
             fn {name}() {{
                 let load = crate::load_for_kunit;
                 ::kernel::kunit::run(\"{suite}\", \"{name}\", load, super::{name});
             }}\n"
        );
    }
    items.extend(parsed(&format!("mod {suite} {{ {runs} }}")));
    let mut output = parsed("#[cfg(test)]");
    output.extend(tokens);
    output.extend([TokenTree::from(Group::new(Delimiter::Brace, items))]);
    output
}

/// A test of the suite.
struct Test {
    name: String,
    /// Its `#[cfg]`s.
    attributes: String,
}

/// Takes `#[test]` off the functions of a module; returns what is left, and the tests.
fn without_test_attributes(items: TokenStream) -> (TokenStream, Vec<Test>) {
    let mut output = TokenStream::new();
    let mut tests = Vec::new();
    let mut tokens = items.into_iter().peekable();
    // The `#[cfg]`s of the item at hand, and whether it is a test.
    let (mut conditions, mut is_test) = (String::new(), false);
    while let Some(token) = tokens.next() {
        if let (TokenTree::Punct(p), Some(TokenTree::Group(attribute))) = (&token, tokens.peek()) {
            if p.as_char() == '#' && attribute.delimiter() == Delimiter::Bracket {
                let text = attribute.stream().to_string();
                let attribute = tokens.next();
                if text == "test" {
                    is_test = true;
                    continue;
                }
                if text.starts_with("cfg") {
                    conditions += &format!("#[{text}]");
                }
                output.extend([token]);
                output.extend(attribute);
                continue;
            }
        }
        let word = token.to_string();
        output.extend([token]);
        if word == "fn" {
            if let (true, Some(name)) = (is_test, tokens.peek()) {
                tests.push(Test {
                    name: name.to_string(),
                    attributes: conditions.clone(),
                });
            }
        }
        // A body ends an item, and so does a semicolon.
        if word == ";" || word.starts_with('{') {
            (conditions, is_test) = (String::new(), false);
        }
    }
    (output, tests)
}

fn parsed(source: &str) -> TokenStream {
    source
        .parse()
        .unwrap_or_else(|_| error("kunit_tests: cannot make the tests"))
}

fn error(message: &str) -> TokenStream {
    format!("compile_error!({message:?});")
        .parse()
        .unwrap_or_default()
}
