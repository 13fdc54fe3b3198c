//! What was counted as one page: style, data and script are in it, and its policy forbids it any network.

use serde_json::Value;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page.
pub(super) fn page(report: &Value) -> String {
    // Inside of a script element only a "<" could end it, and JSON may spell it so.
    let data = report.to_string().replace('<', "\\u003c");
    let page = PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT);
    // Last, since keys may hold anything.
    page.replacen("/*DATA*/", &data, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_end_the_script() {
        let key = "</script><script>alert(1)</script>/*STYLE*/";
        let page = page(&serde_json::json!({ "key": key }));
        assert!(!page.contains("alert(1)</script>"));
        assert!(page.contains("\\u003c/script>"));
        assert!(!page.contains("/*DATA*/") && !page.contains("/*SCRIPT*/"));
        // The key's own words stay.
        assert_eq!(page.matches("/*STYLE*/").count(), 1);
    }
}
