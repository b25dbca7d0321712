"""Names that a function in C cannot have: keywords, names of the C library, and names that an export itself uses."""

import re

KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return
short signed sizeof static struct switch typedef union unsigned void volatile while
alignas alignof bool constexpr false nullptr static_assert thread_local true typeof typeof_unqual asm fortran
"""
# C99, 7.12, and additions of C11, C23, POSIX and GNU; each may end in f, in l, or in one of GNU's types.
FUNCTIONS_OF_MATH = """
acos asin atan atan2 cos sin tan acosh asinh atanh cosh sinh tanh exp exp2 expm1 frexp ilogb ldexp log log10 log1p log2 logb modf
scalbn scalbln cbrt fabs hypot pow sqrt erf erfc lgamma tgamma ceil floor nearbyint rint lrint llrint round lround llround trunc
fmod remainder remquo copysign nan nextafter nexttoward fdim fmax fmin fma
acospi asinpi atanpi atan2pi cospi sinpi tanpi exp10 exp10m1 exp2m1 compoundn log10p1 log2p1 logp1 llogb pown powr rootn rsqrt
roundeven fromfp fromfpx ufromfp ufromfpx nextup nextdown fmaximum fminimum fmaximum_mag fminimum_mag fmaximum_num fminimum_num
fmaximum_mag_num fminimum_mag_num canonicalize setpayload setpayloadsig getpayload totalorder totalordermag fmaxmag fminmag
fadd fdiv ffma fmul fsqrt fsub dadd ddiv dfma dmul dsqrt dsub
j0 j1 jn y0 y1 yn gamma gamma_r drem finite significand scalb pow10 sincos isinf isnan fpclassify signbit iseqsig issignaling
iscanonical
"""
OTHERS_OF_MATH = """
INFINITY NAN math_errhandling isfinite isnormal isgreater isgreaterequal isless islessequal islessgreater isunordered issubnormal
iszero signgam matherr MAXFLOAT DOMAIN SING OVERFLOW UNDERFLOW PLOSS TLOSS X_TLOSS HUGE
"""
# All other functions of the C library, 7.2 to 7.25: their names are reserved in every program, and compilers know their types.
LIBRARY = """
assert cabs cabsf cabsl cacos cacosf cacosh cacoshf cacoshl cacosl carg cargf cargl casin casinf casinh casinhf casinhl casinl
catan catanf catanh catanhf catanhl catanl ccos ccosf ccosh ccoshf ccoshl ccosl cexp cexpf cexpl cimag cimagf cimagl clog clogf
clogl conj conjf conjl cpow cpowf cpowl cproj cprojf cprojl creal crealf creall csin csinf csinh csinhf csinhl csinl csqrt csqrtf
csqrtl ctan ctanf ctanh ctanhf ctanhl ctanl
isalnum isalpha isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit tolower toupper errno
feclearexcept fegetenv fegetexceptflag fegetround feholdexcept feraiseexcept fesetenv fesetexceptflag fesetround fetestexcept
feupdateenv imaxabs imaxdiv strtoimax strtoumax wcstoimax wcstoumax setlocale localeconv setjmp longjmp signal raise
va_arg va_copy va_end va_start offsetof ptrdiff_t size_t wchar_t max_align_t NULL
remove rename tmpfile tmpnam fclose fflush fopen freopen setbuf setvbuf fprintf fscanf printf scanf snprintf sprintf sscanf
vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf fgetc fgets fputc fputs getc getchar gets putc putchar puts ungetc
fread fwrite fgetpos fseek fsetpos ftell rewind clearerr feof ferror perror stdin stdout stderr
atof atoi atol atoll strtod strtof strtold strtol strtoll strtoul strtoull rand srand calloc free malloc realloc aligned_alloc
abort atexit at_quick_exit exit quick_exit getenv system bsearch qsort abs labs llabs div ldiv lldiv mblen mbtowc wctomb mbstowcs
wcstombs memcpy memmove strcpy strncpy strcat strncat memcmp strcmp strcoll strncmp strxfrm memchr strchr strcspn strpbrk strrchr
strspn strstr strtok memset strerror strlen memccpy strdup strndup clock difftime mktime time asctime ctime gmtime localtime
strftime timespec_get fwprintf fwscanf swprintf swscanf vfwprintf vfwscanf vswprintf vswscanf vwprintf vwscanf wprintf wscanf
fgetwc fgetws fputwc fputws fwide getwc getwchar putwc putwchar ungetwc wcstod wcstof wcstold wcstol wcstoll wcstoul wcstoull
wcscpy wcsncpy wmemcpy wmemmove wcscat wcsncat wcscmp wcscoll wcsncmp wcsxfrm wmemcmp wcschr wcscspn wcspbrk wcsrchr wcsspn wcsstr
wcstok wmemchr wcslen wmemset wcsftime btowc wctob mbsinit mbrlen mbrtowc wcrtomb mbsrtowcs wcsrtombs iswalnum iswalpha iswblank
iswcntrl iswdigit iswgraph iswlower iswprint iswpunct iswspace iswupper iswxdigit iswctype wctype towlower towupper towctrans
wctrans main
"""
# Functions of POSIX that the C library calls or that compilers know; linux and unix are numbers in GNU's C.
SYSTEM = """
alloca bcmp bcopy bzero dcgettext dgettext gettext execl execle execlp execv execve execvp ffs ffsl ffsll fork vfork index isascii
rindex stpcpy stpncpy strcasecmp strncasecmp strfmon toascii putc_unlocked putchar_unlocked puts_unlocked fputc_unlocked
fputs_unlocked fprintf_unlocked printf_unlocked fwrite_unlocked mempcpy strchrnul strnlen open close read write lseek stat fstat
mmap munmap brk sbrk send recv socket connect bind listen accept poll select pipe dup kill wait sleep getpid linux unix i386
"""
OWN = "x y z i j layer_0 layer_1 scaled largest shift total value"

TAKEN = frozenset(word for text in (KEYWORDS, FUNCTIONS_OF_MATH, OTHERS_OF_MATH, LIBRARY, SYSTEM, OWN) for word in text.split())
OF_A_TYPE = re.compile(
    rf"(?:{'|'.join(FUNCTIONS_OF_MATH.split())}|lgamma)(?:f|l|f(?:16|32|64|128)x?|d(?:32|64|128))?(?:_r)?|f\d+x?[a-z]+f\d+x?"
)
# Names of these forms are reserved for compilers, for constants of headers, or for POSIX's types.
SHAPES = re.compile(
    r"_.*|.*_t|(?:M|FP|MATH)_[A-Z0-9_]+(?:[fl]|f\d+x?)?|HUGE_VAL[A-Z0-9_]*|SNAN[FL]?\d*X?|u_(?:char|short|int|long)"
)


def is_reserved(name: str) -> bool:
    """Whether a function of this name might not compile, or would replace a function of the C library."""
    return name in TAKEN or any(pattern.fullmatch(name) for pattern in (OF_A_TYPE, SHAPES))
