/*
 * The client's side of SASL GSSAPI (RFC 4752) on the GSS-API of the system.
 *
 *	gssclient TARGET FLAGS LAYER SIZE AUTHZID BINDINGS
 *
 * TARGET is a host-based service, FLAGS are those of the context that it asks
 * for (RFC 2744), LAYER is 1, 2 or 4, SIZE the longest token it takes, BINDINGS application data in hex or "-" for none.
 * It reads challenges and writes responses as lines of hex. After the last
 * response it reads "w HEX" and writes HEX wrapped, or "u HEX" and writes
 * whether the token was encrypted, and what is in it, or "m HEX" and writes a
 * MIC of HEX, or "v HEX" and writes whether HEX is a MIC of "list". With a LAYER of 0 it is
 * GSS-SPNEGO instead: the context is negotiated (RFC 4178), the layer is not.
 */
#include <gssapi/gssapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gss_OID_desc krb5_mech = { 9, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02" };
static gss_OID_desc spnego_mech = { 6, "\x2b\x06\x01\x05\x05\x02" };
static gss_OID_desc hostbased = { 10, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04" };

static void check(const char *what, OM_uint32 major, OM_uint32 minor)
{
	if (!GSS_ERROR(major))
		return;
	OM_uint32 m, more = 0;
	gss_buffer_desc text;
	gss_display_status(&m, minor, GSS_C_MECH_CODE, &krb5_mech, &more, &text);
	fprintf(stderr, "%s: major %#x: %.*s\n", what, major, (int)text.length, (char *)text.value);
	exit(1);
}

static void write_hex(const char *prefix, gss_buffer_t b)
{
	fputs(prefix, stdout);
	for (size_t i = 0; i < b->length; i++)
		printf("%02x", ((unsigned char *)b->value)[i]);
	putchar('\n');
	fflush(stdout);
}

static void from_hex(const char *s, gss_buffer_t b)
{
	unsigned v;
	b->length = 0;
	b->value = malloc(strlen(s) / 2 + 1);
	for (; sscanf(s, "%2x", &v) == 1; s += 2)
		((unsigned char *)b->value)[b->length++] = v;
}

static char *read_line(void)
{
	static char line[400000];
	if (!fgets(line, sizeof line, stdin))
		return NULL;
	line[strcspn(line, "\n")] = 0;
	return line;
}

static void challenge(gss_buffer_t b)
{
	char *line = read_line();
	if (!line) {
		fputs("no challenge\n", stderr);
		exit(1);
	}
	from_hex(line, b);
}

static gss_ctx_id_t establish(char *target, OM_uint32 flags, char *bindings, gss_OID mech)
{
	OM_uint32 major, minor;
	gss_ctx_id_t ctx = GSS_C_NO_CONTEXT;
	gss_buffer_desc name = { strlen(target), target }, in = { 0, NULL }, out;
	struct gss_channel_bindings_struct cb, *binding = GSS_C_NO_CHANNEL_BINDINGS;
	gss_name_t server;

	if (strcmp(bindings, "-") != 0) {
		memset(&cb, 0, sizeof cb);
		from_hex(bindings, &cb.application_data);
		binding = &cb;
	}
	major = gss_import_name(&minor, &name, &hostbased, &server);
	check("import name", major, minor);
	for (;;) {
		major = gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &ctx, server, mech, flags, 0,
		    binding, &in, NULL, &out, NULL, NULL);
		check("init", major, minor);
		write_hex("", &out);
		if (!(major & GSS_S_CONTINUE_NEEDED))
			return ctx;
		challenge(&in);
	}
}

static void negotiate(gss_ctx_id_t ctx, int layer, long size, char *authzid)
{
	OM_uint32 major, minor;
	gss_buffer_desc in, out, reply;
	int sealed;

	challenge(&in);
	major = gss_unwrap(&minor, ctx, &in, &out, &sealed, NULL);
	check("unwrap offer", major, minor);
	if (out.length != 4 || sealed || !(((unsigned char *)out.value)[0] & layer)) {
		fprintf(stderr, "bad offer of %zu octets, sealed %d, major %#x\n", out.length, sealed, major);
		exit(1);
	}
	reply.length = 4 + strlen(authzid);
	reply.value = malloc(reply.length + 1);
	((unsigned char *)reply.value)[0] = layer;
	((unsigned char *)reply.value)[1] = size >> 16;
	((unsigned char *)reply.value)[2] = size >> 8;
	((unsigned char *)reply.value)[3] = size;
	memcpy((char *)reply.value + 4, authzid, strlen(authzid));
	major = gss_wrap(&minor, ctx, 0, GSS_C_QOP_DEFAULT, &reply, NULL, &out);
	check("wrap reply", major, minor);
	write_hex("", &out);
}

int main(int argc, char **argv)
{
	if (argc != 7)
		return 2;
	int layer = atoi(argv[3]), sealed;
	gss_ctx_id_t ctx = establish(argv[1], atoi(argv[2]), argv[6], layer ? &krb5_mech : &spnego_mech);
	OM_uint32 major, minor;
	gss_buffer_desc in, out;
	char *line;

	if (layer)
		negotiate(ctx, layer, atol(argv[4]), argv[5]);
	else if (atoi(argv[2]) & GSS_C_CONF_FLAG)
		layer = 4;
	while ((line = read_line()) != NULL) {
		from_hex(line + 2, &in);
		if (line[0] == 'w') {
			major = gss_wrap(&minor, ctx, layer == 4, GSS_C_QOP_DEFAULT, &in, NULL, &out);
			check("wrap", major, minor);
			write_hex("", &out);
		} else if (line[0] == 'm') {
			major = gss_get_mic(&minor, ctx, GSS_C_QOP_DEFAULT, &in, &out);
			check("MIC", major, minor);
			write_hex("", &out);
		} else if (line[0] == 'v') {
			gss_buffer_desc list = { 4, "list" };
			major = gss_verify_mic(&minor, ctx, &list, &in, NULL);
			check("verify MIC", major, minor);
			out.length = 0;
			out.value = NULL;
			write_hex("right", &out);
		} else {
			major = gss_unwrap(&minor, ctx, &in, &out, &sealed, NULL);
			check("unwrap", major, minor);
			write_hex(sealed ? "1 " : "0 ", &out);
		}
		free(in.value);
		gss_release_buffer(&minor, &out);
	}
	return 0;
}
