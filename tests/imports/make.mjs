// What Firebase stores, by npm's firebase-scrypt 2.2.0, whose salts and keys are base64. Passwords come as JSON on standard
// input; the project's parameters are the ones that Firebase publishes as an example.
import { FirebaseScrypt } from "firebase-scrypt";

const project = { memCost: 14, rounds: 8, saltSeparator: "Bw==" };
const signerKey = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==";
const firebase = new FirebaseScrypt({ ...project, signerKey });

const passwords = JSON.parse(await new Response(process.stdin).text());
const salt = "42xEC+ixf3L2lw==";
const hashes = [];
for (const password of passwords) {
    const hash = await firebase.hash(password, salt);
    hashes.push(["Firebase", password, `$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=${signerKey}$${salt}$${hash}`]);
}
console.log(JSON.stringify(hashes));
