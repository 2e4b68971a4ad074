/* transport-email: the server that takes this server's e-mail. Loaded, it is what the others send
 * their messages with; its test sends one. Source of the names: XO's plug-in. */
#include "plugin/plugin.h"

#include "base/error.h"
#include "base/json_text.h"
#include "notify/mail.h"
#include "notify/smtp.h"

#include <string.h>

typedef struct {
    json_t *configuration; /* owns the texts */
    SmtpServer server;
    const char *from, *from_name;
} Transport;

#define ADDRESS "^[!#-'*+.\\\\-/-9=?A-Z^-~]+@[A-Za-z0-9.-]+$"

static const char configuration_schema[] =
    "{\"type\": \"object\", \"additionalProperties\": false, \"required\": [\"from\", "
    "\"transport\"],"
    "\"properties\": {"
    "\"from\": {\"type\": \"object\", \"title\": \"Sender\", \"additionalProperties\": false,"
    " \"required\": [\"address\"], \"properties\": {"
    "  \"name\": {\"type\": \"string\", \"description\": \"what people see as the sender\"},"
    "  \"address\": {\"type\": \"string\", \"pattern\": \"" ADDRESS "\","
    "   \"description\": \"the address that messages are from\"}}},"
    "\"transport\": {\"type\": \"object\", \"title\": \"Mail server\","
    " \"additionalProperties\": false, \"required\": [\"host\"], \"properties\": {"
    "  \"host\": {\"type\": \"string\", \"minLength\": 1,"
    "   \"description\": \"name or address of the mail server\"},"
    "  \"port\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 65535,"
    "   \"description\": \"25 when it is not given, or 465 with TLS\"},"
    "  \"secure\": {\"default\": false, \"enum\": [false, \"force\", \"disabled\", true],"
    "   \"enumNames\": [\"encrypted when the server offers it (STARTTLS)\","
    "    \"encrypted, or not sent (STARTTLS)\", \"not encrypted\", \"TLS\"]},"
    "  \"name\": {\"type\": \"string\", \"pattern\": \"^[A-Za-z0-9.:_\\\\[\\\\]-]*$\","
    "   \"description\": \"how this server introduces itself (EHLO)\"},"
    "  \"ignoreUnauthorized\": {\"type\": \"boolean\", \"default\": false,"
    "   \"description\": \"take any certificate: others can read along\"},"
    "  \"user\": {\"type\": \"string\"},"
    "  \"password\": {\"type\": \"string\"}}}}}";

static const char test_schema[] =
    "{\"type\": \"object\", \"additionalProperties\": false, \"required\": [\"to\"],"
    "\"properties\": {\"to\": {\"type\": \"string\", \"title\": \"Recipient\", \"minLength\": 1,"
    " \"description\": \"addresses that the message goes to, separated by commas\"}}}";

static const char *const keywords[] = { "email", "mail", "smtp", NULL };

/* NULL when it is absent or empty. */
static const char *text_of(json_t *object, const char *name)
{
    const char *text = json_text(object, name);
    return *text ? text : NULL;
}

static SmtpSecurity security_of(json_t *secure)
{
    const char *text = json_string_value(secure);
    if (json_is_true(secure))
        return SMTP_TLS;
    return !text ? SMTP_UPGRADE : g_str_equal(text, "force") ? SMTP_FORCE : SMTP_PLAIN;
}

static void *load(json_t *configuration, GError **error)
{
    Transport *transport = g_new0(Transport, 1);
    json_t *own = transport->configuration = json_deep_copy(configuration);
    json_t *from = json_object_get(own, "from"), *server = json_object_get(own, "transport");
    transport->from = json_text(from, "address");
    transport->from_name = text_of(from, "name");
    transport->server = (SmtpServer){
        .host = json_text(server, "host"),
        .port = (unsigned) json_integer_value(json_object_get(server, "port")),
        .security = security_of(json_object_get(server, "secure")),
        .trust_any = json_is_true(json_object_get(server, "ignoreUnauthorized")),
        .name = text_of(server, "name"),
        .user = text_of(server, "user"),
        .password = text_of(server, "password"),
    };
    return transport;
}

static void unload(void *state)
{
    Transport *transport = state;
    json_decref(transport->configuration);
    g_free(transport);
}

static bool test(void *state, json_t *data, Cancel *cancel, GError **error)
{
    static const char attached[] = "This file came with a test of e-mail.\n";
    const Transport *transport = state;
    MailAttachment file = { "test.txt", "text/plain; charset=utf-8", attached, strlen(attached) };
    g_auto(GStrv) to = mail_addresses(json_text(data, "to"), error);
    if (!to) {
        g_prefix_error(error, "to: ");
        return false;
    }
    Mail mail = { .from = transport->from,
                  .from_name = transport->from_name,
                  .to = (const char *const *) to,
                  .subject = "[Cadenza] A test of e-mail",
                  .text = "Hello,\n\nthis server can send e-mail; a file is attached.\n",
                  .attachments = &file,
                  .n_attachments = 1 };
    g_autoptr(GBytes) message = mail_write(&mail, error);
    return message && smtp_send(&transport->server, mail.from, mail.to, message, cancel, error);
}

const Plugin plugin_transport_email = {
    .id = "transport-email",
    .description = "Sends e-mail through a mail server (SMTP)",
    .keywords = keywords,
    .configuration_schema = configuration_schema,
    .test_schema = test_schema,
    .load = load,
    .unload = unload,
    .test = test,
};
