/* Bodies are base64, so that no line is too long and none looks like a boundary. */
#include "notify/mail.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum {
    WORD_BYTES = 45, /* of text in an encoded word: 75 characters with its frame */
    PLAIN_BYTES = 60,
    LINE_BYTES = 57, /* 76 characters of base64 */
};

#define CRLF "\r\n"

/* --- Addresses --- */

bool mail_check_address(const char *address, GError **error)
{
    const char *at = strchr(address, '@');
    bool ok = at && at > address && at[1] && !strchr(at + 1, '@') &&
              strlen(address) <= MAIL_MAX_ADDRESS_BYTES;
    for (const char *c = address; *c; c++)
        ok = ok && (guchar) *c > ' ' && (guchar) *c < 127 && !strchr("<>()[],;:\\\"", *c);
    if (ok)
        return true;
    g_autofree char *shown = g_utf8_make_valid(address, -1);
    err_set(error, ERR_INVALID, "\"%.300s\" is no e-mail address such as name@example.org", shown);
    return false;
}

char **mail_addresses(const char *text, GError **error)
{
    g_auto(GStrv) list = g_strsplit(text, ",", MAIL_MAX_RECIPIENTS + 1);
    if (g_strv_length(list) > MAIL_MAX_RECIPIENTS || !list[0]) {
        err_set(error, ERR_INVALID, "expected 1 to %d e-mail addresses", MAIL_MAX_RECIPIENTS);
        return NULL;
    }
    for (unsigned i = 0; list[i]; i++)
        if (!mail_check_address(g_strstrip(list[i]), error))
            return NULL;
    return g_steal_pointer(&list);
}

/* --- Headers --- */

/* On one line, valid UTF-8; caller frees. */
static char *one_line(const char *text)
{
    char *line = g_utf8_make_valid(text, -1);
    for (char *c = line; *c; c++)
        if (((guchar) *c < ' ' || *c == 127) && !MUTANT(mail_injection)) /* mutant: notify_mail */
            *c = ' ';
    return line;
}

static bool is_plain(const char *text)
{
    return g_str_is_ascii(text) && strlen(text) <= PLAIN_BYTES && !strstr(text, "=?");
}

/* As encoded words (RFC 2047), each of whole characters. */
static void add_words(GString *out, const char *text)
{
    for (const char *end; *text; text = end) {
        end = text;
        while (*end && g_utf8_next_char(end) - text <= WORD_BYTES)
            end = g_utf8_next_char(end);
        g_autofree char *word = g_base64_encode((const guchar *) text, (gsize) (end - text));
        g_string_append_printf(out, "=?UTF-8?B?%s?=%s", word, *end ? CRLF " " : "");
    }
}

static void add_subject(GString *out, const char *subject)
{
    g_autofree char *line = one_line(subject);
    g_string_append(out, "Subject: ");
    if (is_plain(line))
        g_string_append(out, line);
    else
        add_words(out, line);
    g_string_append(out, CRLF);
}

/* "in quotes", with what means something there made to mean itself. */
static void add_quoted(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (; *text; text++)
        g_string_append_printf(out, "%s%c", strchr("\"\\", *text) ? "\\" : "", *text);
    g_string_append_c(out, '"');
}

static void add_from(GString *out, const Mail *mail)
{
    g_autofree char *name = one_line(mail->from_name ? mail->from_name : "");
    g_string_append(out, "From: ");
    if (!*name)
        g_string_append(out, mail->from);
    else if (is_plain(name))
        add_quoted(out, name);
    else
        add_words(out, name);
    if (*name)
        g_string_append_printf(out, CRLF " <%s>", mail->from);
    g_string_append(out, CRLF);
}

static void add_headers(GString *out, const Mail *mail)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%a, %d %b %Y %H:%M:%S +0000");
    g_autofree char *id = g_uuid_string_random();
    g_autofree char *to = g_strjoinv("," CRLF " ", (char **) mail->to);
    g_string_append_printf(out, "Date: %s" CRLF, date);
    add_from(out, mail);
    g_string_append_printf(out, "To: %s" CRLF, to);
    add_subject(out, mail->subject);
    g_string_append_printf(out, "Message-ID: <%s%s>" CRLF, id, strchr(mail->from, '@'));
    g_string_append(out, "MIME-Version: 1.0" CRLF "Auto-Submitted: auto-generated" CRLF);
}

/* --- Bodies --- */

static void add_base64(GString *out, const guchar *data, gsize n)
{
    g_string_append(out, "Content-Transfer-Encoding: base64" CRLF CRLF);
    for (gsize at = 0; at < n; at += LINE_BYTES) {
        g_autofree char *line = g_base64_encode(data + at, MIN(n - at, (gsize) LINE_BYTES));
        g_string_append_printf(out, "%s" CRLF, line);
    }
}

static void add_text(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_string_append(out, "Content-Type: text/plain; charset=utf-8" CRLF);
    add_base64(out, (const guchar *) valid, strlen(valid));
}

static void add_attachment(GString *out, const MailAttachment *attachment)
{
    g_autofree char *name = one_line(attachment->name);
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_string_append_printf(out, "Content-Type: %s" CRLF "Content-Disposition: attachment;" CRLF " ",
                           attachment->type);
    if (is_plain(name)) {
        g_string_append(out, "filename=");
        add_quoted(out, name);
    } else {
        g_string_append_printf(out, "filename*=UTF-8''%s", escaped);
    }
    g_string_append(out, CRLF);
    add_base64(out, attachment->data, attachment->n_bytes);
}

static void add_parts(GString *out, const Mail *mail)
{
    g_autofree char *boundary = g_uuid_string_random();
    g_string_append_printf(out,
                           "Content-Type: multipart/mixed; boundary=\"%s\"" CRLF CRLF "--%s" CRLF,
                           boundary, boundary);
    add_text(out, mail->text);
    for (unsigned i = 0; i < mail->n_attachments; i++) {
        g_string_append_printf(out, "--%s" CRLF, boundary);
        add_attachment(out, &mail->attachments[i]);
    }
    g_string_append_printf(out, "--%s--" CRLF, boundary);
}

GBytes *mail_write(const Mail *mail, GError **error)
{
    if (!mail_check_address(mail->from, error))
        return NULL;
    for (unsigned i = 0; mail->to[i]; i++)
        if (!mail_check_address(mail->to[i], error))
            return NULL;
    GString *out = g_string_new(NULL);
    add_headers(out, mail);
    if (mail->n_attachments > 0)
        add_parts(out, mail);
    else
        add_text(out, mail->text);
    return g_string_free_to_bytes(out);
}
