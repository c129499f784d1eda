/*
 * A client of MIT's krb5_sendauth on an open connection (descriptor 3), as
 * fetchmail and movemail are: service host mutual(0|1).
 * It then copies the connection to standard output until the end.
 */
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static krb5_context ctx;

static void die(const char *what, krb5_error_code code)
{
    const char *text = krb5_get_error_message(ctx, code);

    fprintf(stderr, "%s: %ld %s\n", what, (long)code, text);
    exit(2);
}

int main(int argc, char **argv)
{
    int fd = 3;
    krb5_error_code code;
    krb5_ccache cc;
    krb5_principal me, server;
    krb5_auth_context ac = NULL;
    krb5_error *err = NULL;
    krb5_ap_rep_enc_part *rep = NULL;
    krb5_flags flags;
    char name[256], buf[512];
    ssize_t n;

    if (argc != 4)
        return 64;
    flags = atoi(argv[3]) ? AP_OPTS_MUTUAL_REQUIRED : 0;
    if ((code = krb5_init_context(&ctx)))
        die("init", code);
    if ((code = krb5_cc_default(ctx, &cc)) || (code = krb5_cc_get_principal(ctx, cc, &me)))
        die("ccache", code);
    snprintf(name, sizeof name, "%s/%s", argv[1], argv[2]);
    if ((code = krb5_parse_name(ctx, name, &server)))
        die("name", code);
    server->type = KRB5_NT_UNKNOWN;
    code = krb5_sendauth(ctx, &ac, &fd, "KPOPV1.0", me, server, flags, NULL, NULL, cc, &err, &rep, NULL);
    if (code == KRB5_SENDAUTH_REJECTED && err != NULL) {
        printf("rejected %d %.*s\n", (int)err->error, (int)err->text.length, err->text.data);
        fflush(stdout);
    } else if (code != 0) {
        die("sendauth", code);
    } else {
        printf("accepted mutual=%d\n", rep != NULL);
        fflush(stdout);
    }
    while ((n = read(fd, buf, sizeof buf)) > 0)
        fwrite(buf, 1, n, stdout);
    return 0;
}
