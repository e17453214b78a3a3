//! Values from the environment in a job file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong, and where.
type Wrong = (Range<usize>, String);

/// Replaces each `${NAME}` in the text values of a table. Keys and comments stay as they are.
pub(super) fn put_in(
    table: &mut DeTable<'_>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Wrong> {
    table.iter_mut().try_for_each(|(_, value)| in_value(value, env))
}

fn in_value(
    value: &mut Spanned<DeValue<'_>>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Wrong> {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains("${") => {
            *text = substitute(text, env).map_err(|message| (span, message))?.into();
            Ok(())
        }
        DeValue::Array(list) => list.iter_mut().try_for_each(|value| in_value(value, env)),
        DeValue::Table(table) => put_in(table, env),
        _ => Ok(()),
    }
}

fn substitute(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Err("`${` has no `}`; write ${NAME}".to_owned());
        };
        if name.is_empty() {
            return Err("`${}` names nothing; write ${NAME}".to_owned());
        }
        let Some(value) = env(name) else {
            return Err(format!("the environment has no {name}; set it, or write the value here"));
        };
        out.push_str(before);
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        [("A", "\"a\"\n"), ("B_2", "${A}")].iter().find(|v| v.0 == name).map(|v| v.1.to_owned())
    }

    #[test]
    fn values_are_put_in_as_they_are() {
        assert_eq!(substitute("x${A}y${B_2}$", &env).unwrap(), "x\"a\"\ny${A}$");
        assert_eq!(substitute("$A $ {A} }", &env).unwrap(), "$A $ {A} }");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, part) in [("a${C}", "no C;"), ("${A", "no `}`"), ("${}", "names nothing")] {
            assert!(substitute(text, &env).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn keys_and_comments_stay() {
        let text = "# ${NOT}\n\"${NOT}\" = [\"${A}\", { b = \"${B_2}\" }, 3]\n";
        let mut tree = DeTable::parse(text).unwrap();
        put_in(tree.get_mut(), &env).unwrap();
        let list = tree.get_ref().get("${NOT}").unwrap().get_ref();
        assert_eq!(list[0].get_ref().as_str(), Some("\"a\"\n"));
        assert_eq!(list[1].get_ref()["b"].get_ref().as_str(), Some("${A}"));
    }
}
