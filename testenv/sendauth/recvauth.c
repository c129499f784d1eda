/*
 * recvauth: a KPOP server on MIT's libkrb5, to test sendauth against and to
 * compare with.
 *
 *   recvauth KEYTAB VERSION
 *
 * Listens on a free port of 127.0.0.1, which it prints, and serves one
 * connection after the other until it is killed: krb5_recvauth, a greeting
 * that names the client, and -ERR or, for QUIT, +OK to every line. It keeps
 * MIT's replay cache in KRB5RCACHENAME.
 */
#include <krb5.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static krb5_context context;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int answer(FILE *in, FILE *out)
{
	char line[1024];

	while (fflush(out) == 0 && fgets(line, sizeof line, in)) {
		if (!strncasecmp(line, "QUIT", 4))
			return fprintf(out, "+OK bye\r\n");
		if (!strncasecmp(line, "CAPA", 4))
			fprintf(out, "+OK list\r\nUSER\r\n.\r\n");
		else
			fprintf(out, "-ERR not here\r\n");
	}
	return 0;
}

static void serve(int fd, krb5_keytab keytab, char *version)
{
	krb5_auth_context auth = NULL;
	krb5_ticket *ticket = NULL;
	char *client = NULL;
	krb5_error_code code;
	FILE *in, *out;

	code = krb5_recvauth(context, &auth, &fd, version, NULL, 0, keytab, &ticket);
	in = fdopen(fd, "rb");
	out = fdopen(dup(fd), "wb");
	if (!in || !out)
		die("fdopen");
	if (code)
		fprintf(out, "-ERR [AUTH] %s\r\n", krb5_get_error_message(context, code));
	else if (krb5_unparse_name(context, ticket->enc_part2->client, &client))
		fprintf(out, "-ERR no name\r\n");
	else {
		fprintf(out, "+OK %s\r\n", client);
		answer(in, out);
		/* After a failure the library has freed it, and left the pointer. */
		krb5_auth_con_free(context, auth);
	}
	fclose(out);
	fclose(in);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t n = sizeof addr;
	krb5_keytab keytab;
	int l, fd;

	if (argc != 3 || krb5_init_context(&context) || krb5_kt_resolve(context, argv[1], &keytab)) {
		fprintf(stderr, "usage: recvauth KEYTAB VERSION\n");
		return 1;
	}
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = socket(AF_INET, SOCK_STREAM, 0);
	if (l < 0 || bind(l, (struct sockaddr *)&addr, n) || listen(l, 8) ||
	    getsockname(l, (struct sockaddr *)&addr, &n))
		die("listen");
	printf("127.0.0.1:%d\n", ntohs(addr.sin_port));
	fflush(stdout);
	while ((fd = accept(l, NULL, NULL)) >= 0)
		serve(fd, keytab, argv[2]);
	die("accept");
}
