/*
 * acceptor: how fast MIT's own libraries accept tickets, to compare with.
 *
 *   acceptor gss|kpop KEYTAB FILE
 *
 * FILE holds what clients send first, each with its length before it in four
 * octets, big endian: an initial GSSAPI token, or all that a client of sendauth
 * sends. Each is accepted: by gss_accept_sec_context, with the offer of SASL's
 * security layers wrapped behind it, or by krb5_recvauth on a socket. Prints the
 * number, and the seconds of the clock and of the processor that it took.
 * MIT's replay cache is the one that KRB5RCACHENAME names.
 */
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static krb5_context context;
static krb5_keytab keytab;
static gss_cred_id_t creds = GSS_C_NO_CREDENTIAL;

static void fail(const char *what, long code)
{
	fprintf(stderr, "%s: %ld\n", what, code);
	exit(1);
}

static void accept_gss(char *token, size_t n)
{
	gss_ctx_id_t ctx = GSS_C_NO_CONTEXT;
	gss_buffer_desc in = { n, token }, out = GSS_C_EMPTY_BUFFER;
	gss_buffer_desc layers = { 4, "\7\0\377\377" };
	gss_name_t client = GSS_C_NO_NAME;
	OM_uint32 major, minor, flags;
	gss_buffer_desc name;
	int sealed;

	major = gss_accept_sec_context(&minor, &ctx, creds, &in, GSS_C_NO_CHANNEL_BINDINGS,
				       &client, NULL, &out, &flags, NULL, NULL);
	if (major != GSS_S_COMPLETE)
		fail("gss_accept_sec_context", minor);
	if (gss_display_name(&minor, client, &name, NULL) != GSS_S_COMPLETE)
		fail("gss_display_name", minor);
	gss_release_buffer(&minor, &name);
	gss_release_name(&minor, &client);
	gss_release_buffer(&minor, &out);
	if (gss_wrap(&minor, ctx, 0, 0, &layers, &sealed, &out) != GSS_S_COMPLETE)
		fail("gss_wrap", minor);
	gss_release_buffer(&minor, &out);
	gss_delete_sec_context(&minor, &ctx, GSS_C_NO_BUFFER);
}

static void accept_kpop(char *sent, size_t n)
{
	krb5_auth_context auth = NULL;
	krb5_ticket *ticket = NULL;
	krb5_error_code code;
	char *client;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || write(pair[1], sent, n) != (ssize_t)n)
		fail("socketpair", 0);
	code = krb5_recvauth(context, &auth, &pair[0], "KPOPV1.0", NULL, 0, keytab, &ticket);
	if (code)
		fail("krb5_recvauth", code);
	if (krb5_unparse_name(context, ticket->enc_part2->client, &client))
		fail("krb5_unparse_name", 0);
	krb5_free_unparsed_name(context, client);
	krb5_free_ticket(context, ticket);
	krb5_auth_con_free(context, auth);
	close(pair[0]);
	close(pair[1]);
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static char item[1 << 17];
	unsigned char size[4];
	int gss, count = 0;
	OM_uint32 minor;
	double wall, cpu;
	size_t n;
	FILE *f;

	if (argc != 4 || !(f = fopen(argv[3], "rb")) || krb5_init_context(&context) ||
	    krb5_kt_resolve(context, argv[2], &keytab)) {
		fprintf(stderr, "usage: acceptor gss|kpop KEYTAB FILE\n");
		return 2;
	}
	gss = !strcmp(argv[1], "gss");
	if (gss && (krb5_gss_register_acceptor_identity(argv[2]) ||
		    gss_acquire_cred(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET,
				     GSS_C_ACCEPT, &creds, NULL, NULL) != GSS_S_COMPLETE))
		fail("gss_acquire_cred", minor);
	wall = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (; fread(size, 4, 1, f) == 1; count++) {
		n = (size_t)size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3];
		if (n > sizeof item || fread(item, n, 1, f) != 1)
			fail("FILE", count);
		if (gss)
			accept_gss(item, n);
		else
			accept_kpop(item, n);
	}
	printf("%d %.6f %.6f\n", count, seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}
